// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/command_line.hh"

#include <array>
#include <climits>
#include <cstdio>
#include <fstream>
#include <memory>
#include <unistd.h>

extern "C" {
#include "base/buf.h"
}

namespace pkcs11signer {
std::vector<std::string> allWords()
{
  std::ifstream arguments("/proc/self/cmdline");
  std::vector<std::string> words;

  for (std::string word; std::getline(arguments, word, '\0');) {
    words.push_back(word);
  }
  return words;
}

std::vector<std::string> commandLine()
{
  const auto all = allWords();
  std::vector<std::string> words;

  for (size_t i = 1; i < all.size(); ++i) { // behind the program
    if (all[i] == "--config-dir" || all[i] == "--config-name") {
      ++i; // its value
    } else if (all[i].size() < 2 || all[i][0] != '-') {
      words.push_back(all[i]);
    }
  }
  return words;
}

std::string programVersion()
{
  std::array<char, PATH_MAX> path{};
  std::array<char, 256> line{};
  p11s_buf command = P11S_BUF_INIT;

  if (readlink("/proc/self/exe", path.data(), path.size() - 1) <= 0) {
    return {};
  }
  p11s_buf_add_shell(&command, path.data());
  p11s_buf_addstr(&command, " --version </dev/null 2>/dev/null");
  // The one word that the shell gets is quoted.
  // NOLINTNEXTLINE(cert-env33-c)
  const std::unique_ptr<FILE, int (*)(FILE *)> output(popen(p11s_buf_text(&command), "re"), pclose);
  p11s_buf_clear(&command);
  if (output == nullptr || fgets(line.data(), line.size(), output.get()) == nullptr) {
    return {};
  }
  std::string said = line.data();
  said.erase(said.find_last_not_of('\n') + 1);
  return said;
}
} // namespace pkcs11signer
