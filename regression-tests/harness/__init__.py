# SPDX-License-Identifier: GPL-2.0-or-later
"""What the end-to-end tests stand on: private tokens, databases and servers.

Nothing here knows what the module promises; the test files do.
"""
