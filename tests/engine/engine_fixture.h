// An engine over a memory store and a clock that stands still, for tests.
#ifndef CREDBROKER_TESTS_ENGINE_ENGINE_FIXTURE_H_
#define CREDBROKER_TESTS_ENGINE_ENGINE_FIXTURE_H_

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/engine/engine.h"
#include "server/store/memory_store.h"

namespace credbroker::engine {

inline std::shared_ptr<const store::Keyring> TestKeyring(char fill = 'k') {
  const std::string key = absl::Base64Escape(std::string(store::kKeyBytes, fill));
  const std::string id(16, fill == 'k' ? 'a' : 'b');
  auto keyring = store::Keyring::Parse(
      absl::StrCat("credbroker-keyring 1\n", id, " 2026-01-31T09:00:00Z active ", key, "\n",
                   "8899aabbccddeeff 2026-01-31T09:00:00Z derive ", key, "\n"),
      "test");
  EXPECT_TRUE(keyring.ok()) << keyring.status();
  return std::make_shared<const store::Keyring>(*std::move(keyring));
}

// Waits for the answer of a control-plane call.
template <typename T>
class Answer {
 public:
  Done<T> done() {
    return [promise = promise_](absl::StatusOr<T> value) { promise->set_value(std::move(value)); };
  }
  absl::StatusOr<T> Get() { return promise_->get_future().get(); }

 private:
  std::shared_ptr<std::promise<absl::StatusOr<T>>> promise_ =
      std::make_shared<std::promise<absl::StatusOr<T>>>();
};

inline std::shared_ptr<const core::Document> MakeDocument(const std::string& id) {
  auto document = std::make_shared<core::Document>();
  document->id = id;
  document->provider = "openai";
  document->kind = core::Kind::kApiKey;
  return document;
}

inline std::shared_ptr<core::SecretMaterial> MakeSecret(const std::string& key) {
  auto secret = std::make_shared<core::SecretMaterial>();
  secret->api_key = core::Secret(key);
  return secret;
}

class EngineTest : public testing::Test {
 protected:
  EngineTest() { Restart(); }

  static EngineOptions Options() {
    EngineOptions options;
    core::ProviderSettings openai;
    openai.name = "openai";
    openai.headers = {{"authorization", "Bearer {api_key}"}};
    options.settings.providers.push_back(openai);
    options.settings.labels = {{"tier", {"gold", "silver"}}, {"team", {}}};
    return options;
  }

  // A new process on the same disk.
  void Restart(std::shared_ptr<const store::Keyring> keyring = TestKeyring()) {
    engine_ = nullptr;
    store_ = std::make_unique<store::MemoryStore>(disk_);
    EngineOptions options = Options();
    options.policy = policy_;
    engine_ = std::make_unique<Engine>(std::move(options), clock_, *store_);
    started_ = engine_->Start(std::move(keyring));
  }

  absl::StatusOr<core::CredentialView> Create(const std::string& id,
                                              const std::string& key = "sk-1") {
    Answer<core::CredentialView> answer;
    engine_->Create({.caller = {.actor = "ops"},
                     .document = MakeDocument(id),
                     .secret = MakeSecret(key),
                     .intent = {}},
                    answer.done());
    return answer.Get();
  }
  absl::StatusOr<IntentResult> SetIntent(const std::string& id, bool enabled,
                                         const std::string& etag = "") {
    Answer<IntentResult> answer;
    engine_->SetIntent({.caller = {.actor = "ops"},
                        .id = id,
                        .etag = etag,
                        .enabled = enabled,
                        .reason = enabled ? "" : "maintenance",
                        .until = {}},
                       answer.done());
    return answer.Get();
  }
  absl::StatusOr<BatchResult> Batch(BatchRequest request) {
    Answer<BatchResult> answer;
    if (request.caller.actor.empty()) request.caller.actor = "ops";
    engine_->BatchUpdate(std::move(request), answer.done());
    return answer.Get();
  }
  absl::StatusOr<BatchResult> Undo(const std::string& batch_id, bool dry_run = false) {
    Answer<BatchResult> answer;
    engine_->UndoBatch({.caller = {.actor = "ops"}, .batch_id = batch_id, .dry_run = dry_run},
                       answer.done());
    return answer.Get();
  }
  AcquireAnswer Acquire(
      absl::Duration max_wait = absl::ZeroDuration(), AcquireDone done = [](AcquireAnswer) {}) {
    const absl::string_view providers[] = {"openai"};
    core::AcquireCommand command;
    command.principal = "proxy";
    command.providers = providers;
    command.model = "m";
    command.max_wait = max_wait;
    return engine_->Acquire(command, std::move(done));
  }
  core::ReportReply Report(const std::string& lease_id, int status) {
    ReportItem item;
    item.lease_id = lease_id;
    item.facts.http_status = status;
    return engine_->Report("proxy", item);
  }

  std::shared_ptr<const core::PolicyTable> policy_;  // of the next Restart; null: built-in rows
  std::shared_ptr<store::MemoryDisk> disk_ = std::make_shared<store::MemoryDisk>();
  FakeClock clock_;
  std::unique_ptr<store::MemoryStore> store_;
  std::unique_ptr<Engine> engine_;
  absl::Status started_;
};

inline BatchOperation Priority(int64_t number) {
  BatchOperation operation;
  operation.kind = BatchOperation::Kind::kPriority;
  operation.number = number;
  return operation;
}
inline BatchOperation Operation(BatchOperation::Kind kind, std::string text = "") {
  BatchOperation operation;
  operation.kind = kind;
  operation.text = std::move(text);
  return operation;
}

}  // namespace credbroker::engine

#endif  // CREDBROKER_TESTS_ENGINE_ENGINE_FIXTURE_H_
