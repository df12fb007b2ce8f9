// The way to the store: groups, failures, hangs, write-behind.
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>

#include "tests/engine/engine_fixture.h"

namespace credbroker::engine {
namespace {

using store::RowKind;

// Holds commits until it is opened.
class Gate {
 public:
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  void AwaitWaiter() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ > 0; });
  }
  void Open() {
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int waiting_ = 0;
};

class CommitterTest : public EngineTest {
 protected:
};

TEST_F(CommitterTest, AStoreThatHangsBlocksNoAcquireAndNoReport) {
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("b").ok());
  Gate gate;
  store_->SetCommitHook([&](absl::Span<const store::Write>) { gate.Wait(); });
  Answer<IntentResult> hanging;
  engine_->SetIntent({.caller = {.actor = "ops"},
                      .id = "b",
                      .etag = "",
                      .enabled = false,
                      .reason = "",
                      .until = {}},
                     hanging.done());
  gate.AwaitWaiter();
  for (int i = 0; i < 100; ++i) {
    const AcquireAnswer answer = Acquire();
    ASSERT_EQ(answer.reply.kind, core::AcquireReply::Kind::kGranted);
    Report(answer.lease_id, i == 99 ? 429 : 200);
  }
  EXPECT_LE(engine_->Stats().committer.pending_health, 2u) << "coalesced";
  EXPECT_GE(engine_->Stats().committer.pending_health, 1u);
  EXPECT_TRUE(engine_->Get("b")->intent.enabled) << "not before it is durable";
  gate.Open();
  EXPECT_TRUE(hanging.Get().ok());
  EXPECT_EQ(engine_->Get("b")->state, core::State::kDisabled);
  engine_.reset();  // it calls the hook until then
}

TEST_F(CommitterTest, EditsOfOneRowGoOneAfterTheOtherAndOthersTogether) {
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("b").ok());
  engine_->Drain();
  Gate gate;
  std::mutex mutex;
  std::vector<std::vector<std::string>> commits;
  std::atomic<int> calls{0};
  store_->SetCommitHook([&](absl::Span<const store::Write> writes) {
    if (calls++ == 0) return gate.Wait();
    std::vector<std::string> documents;
    for (const store::Write& write : writes) {
      if (write.kind == RowKind::kDocument) documents.push_back(write.key);
    }
    std::lock_guard<std::mutex> lock(mutex);
    if (!documents.empty()) commits.push_back(std::move(documents));
  });
  const auto set = [&](const std::string& id, int64_t priority,
                       Answer<core::CredentialView>& answer) {
    engine_->Update({.caller = {.actor = "ops"},
                     .id = id,
                     .etag = "",
                     .patch =
                         [priority](core::Document& document) {
                           document.priority = document.priority * 10 + priority;
                           return absl::OkStatus();
                         },
                     .secret = nullptr},
                    answer.done());
  };
  Answer<core::CredentialView> blocker, first, second, other;
  set("a", 1, blocker);
  gate.AwaitWaiter();
  set("a", 2, first);
  set("b", 7, other);
  set("a", 3, second);
  gate.Open();
  ASSERT_TRUE(blocker.Get().ok());
  ASSERT_TRUE(first.Get().ok());
  ASSERT_TRUE(other.Get().ok());
  EXPECT_EQ(second.Get()->document->priority, 123);
  std::lock_guard<std::mutex> lock(mutex);
  ASSERT_EQ(commits.size(), 2u);
  EXPECT_EQ(commits[0], (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(commits[1], (std::vector<std::string>{"a"}));
}

TEST_F(CommitterTest, AFailedCommitChangesNothingAndTheNextWorks) {
  ASSERT_TRUE(Create("a").ok());
  engine_->Drain();
  store_->FailNextCommits(1, absl::ResourceExhaustedError("disk full"));
  EXPECT_TRUE(absl::IsUnavailable(SetIntent("a", false).status()));
  EXPECT_EQ(engine_->Get("a")->state, core::State::kAvailable);
  EXPECT_EQ(engine_->Get("a")->document->revision, 1u);
  store_->FailNextCommits(1, absl::UnavailableError("i/o"));
  EXPECT_TRUE(absl::IsUnavailable(Create("b").status()));
  EXPECT_FALSE(engine_->Get("b").has_value());
  EXPECT_FALSE(engine_->Stats().committer.healthy);
  EXPECT_TRUE(SetIntent("a", false).ok());
  EXPECT_TRUE(Create("b").ok());
  EXPECT_EQ(engine_->Stats().committer.failures, 2u);
  EXPECT_TRUE(engine_->Stats().committer.healthy);
}

TEST_F(CommitterTest, AFullQueueRefuses) {
  EngineOptions options = Options();
  options.max_queued_commands = 2;
  engine_ = std::make_unique<Engine>(options, clock_, *store_);
  ASSERT_TRUE(engine_->Start(TestKeyring()).ok());
  Gate gate;
  store_->SetCommitHook([&](absl::Span<const store::Write>) { gate.Wait(); });
  Answer<core::CredentialView> answers[3];
  const char* ids[] = {"a", "b", "c"};
  for (int i = 0; i < 3; ++i) {
    engine_->Create({.caller = {.actor = "ops"},
                     .document = MakeDocument(ids[i]),
                     .secret = MakeSecret("k"),
                     .intent = {}},
                    answers[i].done());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(answers[2].Get().status()));
  gate.Open();
  EXPECT_TRUE(answers[0].Get().ok());
  EXPECT_TRUE(answers[1].Get().ok());
  engine_.reset();  // it calls the hook until then
}

TEST_F(CommitterTest, ManyHealthChangesOfOneCredentialCostOneRow) {
  ASSERT_TRUE(Create("a").ok());
  engine_->Drain();
  Gate gate;
  std::mutex mutex;
  std::map<RowKind, int> rows;
  std::atomic<int> calls{0};
  store_->SetCommitHook([&](absl::Span<const store::Write> writes) {
    if (calls++ == 0) return gate.Wait();
    std::lock_guard<std::mutex> lock(mutex);
    for (const store::Write& write : writes) rows[write.kind] += write.value.has_value();
  });
  Answer<core::CredentialView> other;
  engine_->Create(
      {.caller = {.actor = "ops"}, .document = MakeDocument("z"), .secret = nullptr, .intent = {}},
      other.done());
  gate.AwaitWaiter();
  for (int i = 0; i < 20; ++i) {
    clock_.Advance(absl::Minutes(40));
    engine_->Tick();
    const AcquireAnswer answer = Acquire();
    ASSERT_EQ(answer.reply.kind, core::AcquireReply::Kind::kGranted) << i;
    Report(answer.lease_id, 429);
  }
  gate.Open();
  ASSERT_TRUE(other.Get().ok());
  engine_->Drain();
  engine_.reset();  // it calls the hook until then
  std::lock_guard<std::mutex> lock(mutex);
  EXPECT_LE(rows[RowKind::kHealth], 2) << "one for a, one for z";
  EXPECT_LE(rows[RowKind::kHistory], 10);
}

TEST_F(CommitterTest, HealthThatCouldNotBeWrittenIsTriedAgain) {
  ASSERT_TRUE(Create("a").ok());
  engine_->Drain();
  store_->FailNextCommits(1, absl::UnavailableError("i/o"));
  Report(Acquire().lease_id, 429);
  engine_->Drain();
  EXPECT_EQ(engine_->Stats().committer.pending_health, 1u);
  engine_->Drain();
  EXPECT_EQ(engine_->Stats().committer.pending_health, 0u);
  Restart();
  EXPECT_EQ(engine_->Get("a")->state, core::State::kWaiting);
}

}  // namespace
}  // namespace credbroker::engine
