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
std::vector<std::string> commandLine()
{
  std::ifstream arguments("/proc/self/cmdline");
  std::vector<std::string> words;
  std::string word;

  std::getline(arguments, word, '\0'); // the program
  while (std::getline(arguments, word, '\0')) {
    if (word == "--config-dir" || word == "--config-name") {
      std::getline(arguments, word, '\0'); // its value
    } else if (word.size() < 2 || word[0] != '-') {
      words.push_back(word);
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
  const std::unique_ptr<FILE, int (*)(FILE *)> output(popen(p11s_buf_text(&command), "re"), pclose);
  p11s_buf_clear(&command);
  if (output == nullptr || fgets(line.data(), line.size(), output.get()) == nullptr) {
    return {};
  }
  std::string said = line.data();
  said.erase(said.find_last_not_of("\n") + 1);
  return said;
}
} // namespace pkcs11signer
