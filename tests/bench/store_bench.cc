// What a restart and a large batch cost the store: 50,000 rows of 1.5 kB, sealed.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "server/store/keyring.h"
#include "server/store/sealer.h"
#include "server/store/sqlite_store.h"

namespace credbroker::store {
namespace {

constexpr int kRows = 50'000;
constexpr int kBatch = 30'000;
constexpr size_t kPlaintextBytes = 1'500;

// A store with kRows sealed secrets on the disk that holds the temporary folder.
class Fleet {
 public:
  Fleet() {
    std::string folder = std::filesystem::temp_directory_path() / "credbroker-bench.XXXXXX";
    if (mkdtemp(folder.data()) == nullptr) abort();
    folder_ = folder;
    const std::string keyring = folder_ / "keyring";
    if (!InitKeyring(keyring).ok()) abort();
    sealer_ =
        std::make_unique<Sealer>(std::make_shared<const Keyring>(Keyring::Load(keyring).value()));
    store_ = OpenSqliteStore({.path = folder_ / "store.db"}).value();
    fence_ = store_->TakeOwnership().value();
    Commit(Writes(kRows, 1));
  }
  ~Fleet() {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  SealContext Place(const std::string& key, uint64_t version) const {
    return {.store_id = store_->id(),
            .kind = RowKind::kSecret,
            .key = key,
            .version = version,
            .binding = "provider|https://token.example/url|client|default"};
  }
  std::vector<Write> Writes(int count, uint64_t version) const {
    const std::string plaintext(kPlaintextBytes, 'p');
    std::vector<Write> writes;
    for (int i = 0; i < count; ++i) {
      std::string key = absl::StrFormat("cred-%06d", i);
      std::string sealed = sealer_->Seal(Place(key, version), plaintext);
      writes.push_back({RowKind::kSecret, std::move(key), std::move(sealed), version});
    }
    return writes;
  }
  void Commit(const std::vector<Write>& writes) {
    if (!store_->Commit(writes, fence_).ok()) abort();
  }

  std::filesystem::path folder_;
  std::unique_ptr<Sealer> sealer_;
  std::unique_ptr<Store> store_;
  Fence fence_;
};

void LoadAndUnseal(benchmark::State& state) {
  Fleet fleet;
  for (auto _ : state) {
    int opened = 0;
    const auto report = fleet.store_->Load([&](Row row) {
      auto plaintext = fleet.sealer_->Open(fleet.Place(row.key, row.version), row.value);
      if (plaintext.ok()) ++opened;
      return absl::OkStatus();
    });
    if (!report.ok() || opened != kRows) state.SkipWithError("a row did not open");
  }
  state.SetItemsProcessed(state.iterations() * kRows);
}
BENCHMARK(LoadAndUnseal)->Unit(benchmark::kMillisecond)->UseRealTime();

void Load(benchmark::State& state) {
  Fleet fleet;
  for (auto _ : state) {
    benchmark::DoNotOptimize(fleet.store_->Load([](Row) { return absl::OkStatus(); }).ok());
  }
}
BENCHMARK(Load)->Unit(benchmark::kMillisecond)->UseRealTime();

void OpenAgain(benchmark::State& state) {
  Fleet fleet;
  for (auto _ : state) {
    fleet.store_.reset();
    fleet.store_ = OpenSqliteStore({.path = fleet.folder_ / "store.db"}).value();
  }
}
BENCHMARK(OpenAgain)->Unit(benchmark::kMillisecond)->UseRealTime();

// Sealing included.
void UpdateThirtyThousandRowsAtOnce(benchmark::State& state) {
  Fleet fleet;
  uint64_t version = 1;
  for (auto _ : state) {
    std::vector<Write> writes = fleet.Writes(kBatch, ++version);
    fleet.Commit(writes);
  }
}
BENCHMARK(UpdateThirtyThousandRowsAtOnce)->Unit(benchmark::kMillisecond)->UseRealTime();

void CommitOneRow(benchmark::State& state) {
  Fleet fleet;
  uint64_t version = 1;
  for (auto _ : state) fleet.Commit(fleet.Writes(1, ++version));
}
BENCHMARK(CommitOneRow)->Unit(benchmark::kMicrosecond)->UseRealTime();

void Seal(benchmark::State& state) {
  Fleet fleet;
  const std::string plaintext(kPlaintextBytes, 'p');
  const std::string key = "cred-1";
  for (auto _ : state) {
    benchmark::DoNotOptimize(fleet.sealer_->Seal(fleet.Place(key, 1), plaintext));
  }
}
BENCHMARK(Seal);

}  // namespace
}  // namespace credbroker::store
