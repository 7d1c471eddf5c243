// SPDX-License-Identifier: GPL-2.0-or-later
#include "shim/siblings.hh"

#include "shim/backend.hh"
#include "shim/pdns-compat.hh"
#include "shim/settings.hh"

#include <memory>
#include <mutex>

namespace pkcs11signer {
namespace {
// BackendMakerClass::d_repository is private; an explicit instantiation may name it all the same
// ([temp.spec.general]), and the friend it defines hands it out.
template <auto Member> struct Reveal {
  friend auto &repositoryOf(BackendMakerClass &makers) { return makers.*Member; }
};
auto &repositoryOf(BackendMakerClass &makers);
template struct Reveal<&BackendMakerClass::d_repository>;

thread_local Backend *t_collector = nullptr;
thread_local unsigned t_depth = 0; // of factories at work

struct AtWork {
  AtWork() { ++t_depth; }
  ~AtWork() { --t_depth; }
};

// A backend may make an UeberBackend of its own while it is made (bind, with bind-hybrid): one of
// our backends in there collects meanwhile, and is gone with it.
template <typename Make> DNSBackend *reported(const Make &make)
{
  const AtWork atWork;
  Backend *const collector = t_collector;
  DNSBackend *const made = make();

  t_collector = collector;
  if (collector != nullptr && made != nullptr) {
    collector->addSibling(made);
    if (t_depth == 1) {
      collector->noteSiblings();
    }
  }
  return made;
}

class ObservedFactory : public BackendFactory {
public:
  explicit ObservedFactory(BackendFactory *observed)
      : BackendFactory(observed->getName()), d_observed(observed)
  {
  }
  DNSBackend *make(const string &suffix) override
  {
    return reported([&] { return d_observed->make(suffix); });
  }
  DNSBackend *makeMetadataOnly(const string &suffix) override
  {
    return reported([&] { return d_observed->makeMetadataOnly(suffix); });
  }
  void declareArguments(const string &suffix) override { d_observed->declareArguments(suffix); }

private:
  std::unique_ptr<BackendFactory> d_observed;
};
} // namespace

void observeFactories()
{
  static std::once_flag s_once;
  std::call_once(s_once, [] {
    for (auto &entry : repositoryOf(BackendMakers())) {
      if (entry.first != ModuleName) {
        compat::wrapFactory<ObservedFactory>(entry.second);
      }
    }
  });
}

void collectSiblingsFor(Backend *backend)
{
  t_collector = backend;
}

void forgetCollector(const Backend *backend)
{
  if (t_collector == backend) {
    t_collector = nullptr;
  }
}
} // namespace pkcs11signer
