// SPDX-License-Identifier: GPL-2.0-or-later
// The shared object that PowerDNS loads. It looks at the program that it is in, and loads the rest
// of the module, pkcs11signer.so beside it, only when that is the version the module was built for.
//
// Needs no symbol of PowerDNS, so that the loader takes it in any version and it can say what is
// wrong. Runs before anything of ours has been started, so refusing is as simple as ending:
// PowerDNS itself would go on to say that it knows no backend of this name.
#include "pkcs11signer-config.h"

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>
#include <unistd.h>

namespace {
const char BuiltFor[] = "PowerDNS " P11S_PDNS_VERSION;
const size_t NameLength = sizeof "PowerDNS " - 1;
const char *const Remedy = "build it for this version: ./package.sh, and install what that makes";

[[noreturn]] void refuse(const char *problem, const char *detail, const char *remedy)
{
  (void)dprintf(STDERR_FILENO, "[pkcs11signer] this module was built for %s and cannot %s%s%s\n",
                BuiltFor, problem, detail, remedy);
  _exit(1);
}

// Which pdns_server this is. pdnsutil does not say: there, what it lacks tells.
void compareVersion()
{
  // std::string getPDNSVersion(), the same in all versions.
  void *symbol = dlsym(RTLD_DEFAULT, "_Z14getPDNSVersionB5cxx11v");
  if (symbol == nullptr) {
    return;
  }
  std::string (*version)() = nullptr;
  memcpy(&version, &symbol, sizeof version);
  const std::string running = version();
  if (running != BuiltFor + NameLength) {
    refuse("run in ", running.c_str(), (std::string("; ") + Remedy).c_str());
  }
}

// The directory of this file; of the real one, should PowerDNS have been shown a link to it.
std::string directory()
{
  Dl_info info{};
  char path[PATH_MAX] = "";
  if (dladdr(BuiltFor, &info) == 0 || realpath(info.dli_fname, path) == nullptr) {
    refuse("find its own files", "", "");
  }
  char *slash = strrchr(path, '/');
  *slash = '\0';
  return path;
}

void loadShim()
{
  const std::string shim = directory() + "/pkcs11signer.so";
  void *handle = dlopen(shim.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    // Mostly a symbol that another version does not have.
    const std::string reason = dlerror();
    refuse("run in this program, which may be another version: ", reason.c_str(),
           (std::string("; ") + Remedy).c_str());
  }
  void *symbol = dlsym(handle, "p11s_shim_start");
  if (symbol == nullptr) {
    refuse("be loaded: ", shim.c_str(), " is of another build; install the module again");
  }
  void (*start)() = nullptr;
  memcpy(&start, &symbol, sizeof start);
  start();
}

struct Gate {
  Gate()
  {
    compareVersion();
    loadShim();
  }
} s_gate;
} // namespace
