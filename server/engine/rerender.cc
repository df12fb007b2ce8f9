#include "server/engine/rerender.h"

#include <algorithm>
#include <utility>

#include "core/material.h"

namespace credbroker::engine {
namespace {

class RerenderWork : public Work {
 public:
  RerenderWork(std::vector<std::string> providers, std::function<void(const absl::Status&)> done)
      : providers_(std::move(providers)), done_(std::move(done)) {}

  absl::Status Open(const WorkContext& context) override {
    std::string after;
    do {
      context.pool->Locked([&](core::Pool& pool, absl::Time now, core::Effects&) {
        StepBudget budget;
        after = pool.Scan(after, 256, now, [&](const core::CredentialRow& row) {
          if (row.material_version != 0 && Wanted(row.document->provider)) {
            keys_.push_back(row.document->id);
          }
          return budget.Spend();
        });
      });
    } while (!after.empty());
    return absl::OkStatus();
  }
  const std::vector<std::string>& keys() const override { return keys_; }

  absl::StatusOr<bool> Prepare(const WorkContext&, const core::Pool& pool, absl::Time now,
                               StepBudget& budget) override {
    for (; prepared_ < keys_.size(); ++prepared_) {
      if (!budget.Spend()) return false;
      const auto view = pool.Get(keys_[prepared_], now);
      if (view) rows_.push_back({.document = view->document, .uid = view->uid});
    }
    return true;
  }

  absl::Status Build(const WorkContext& context, std::vector<store::Write>&) override {
    const auto settings = context.pool->settings();
    for (Row& row : rows_) {
      absl::StatusOr<store::SecretEntry> secret =
          ReadSecret(*context.store, *context.sealer, *row.document);
      if (absl::IsUnavailable(secret.status())) return secret.status();
      if (!secret.ok()) continue;
      for (const core::ProviderSettings& provider : settings->providers) {
        if (provider.name != row.document->provider) continue;
        auto material = core::RenderMaterial(*row.document, row.uid, *secret->secret, provider);
        if (material.ok()) row.material = *std::move(material);
      }
    }
    return absl::OkStatus();
  }

  bool Install(const WorkContext&, core::Pool& pool, absl::Time now, core::Effects& effects,
               StepBudget& budget) override {
    for (; installed_ < rows_.size(); ++installed_) {
      if (!budget.Spend()) return false;
      Row& row = rows_[installed_];
      if (row.material == nullptr) continue;
      core::RowEdit edit;
      edit.id = row.document->id;
      edit.uid = row.uid;
      edit.prepared = now;
      edit.material = std::move(row.material);
      pool.Install(edit, now, effects);
    }
    return true;
  }

  void Finish(const WorkContext&, const absl::Status& status) override {
    if (done_) done_(status);
  }

 private:
  struct Row {
    std::shared_ptr<const core::Document> document;
    core::Uid uid;
    std::shared_ptr<const core::Material> material = nullptr;
  };
  bool Wanted(const std::string& provider) const {
    return std::find(providers_.begin(), providers_.end(), provider) != providers_.end();
  }

  const std::vector<std::string> providers_;
  const std::function<void(const absl::Status&)> done_;
  std::vector<std::string> keys_;
  std::vector<Row> rows_;
  size_t prepared_ = 0, installed_ = 0;
};

bool Same(const std::vector<core::HeaderTemplate>& a, const std::vector<core::HeaderTemplate>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.name == y.name && x.value == y.value;
  });
}

bool Same(const core::ProviderSettings& a, const core::ProviderSettings& b) {
  return a.has_refresher == b.has_refresher && Same(a.headers, b.headers) &&
         std::equal(a.headers_by_kind.begin(), a.headers_by_kind.end(), b.headers_by_kind.begin(),
                    b.headers_by_kind.end(), [](const auto& x, const auto& y) {
                      return x.first == y.first && Same(x.second, y.second);
                    });
}

}  // namespace

std::unique_ptr<Work> NewRerender(std::vector<std::string> providers,
                                  std::function<void(const absl::Status&)> done) {
  return std::make_unique<RerenderWork>(std::move(providers), std::move(done));
}

// A provider that vanished keeps what was rendered.
std::vector<std::string> RenderedDifferently(const core::Settings& before,
                                             const core::Settings& after) {
  std::vector<std::string> names;
  for (const core::ProviderSettings& now : after.providers) {
    const auto old = std::find_if(before.providers.begin(), before.providers.end(),
                                  [&](const auto& provider) { return provider.name == now.name; });
    if (old == before.providers.end() || !Same(*old, now)) names.push_back(now.name);
  }
  return names;
}

}  // namespace credbroker::engine
