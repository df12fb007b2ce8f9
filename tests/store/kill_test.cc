// Promise: kill -9 at any point loses no acknowledged commit and leaves no half one. Here the child
// is a bare store; tests of the whole server kill that. CREDBROKER_KILLS sets the number of kills
// (20 in CI).
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "server/store/sqlite_store.h"
#include "tests/store/numbered_commits.h"
#include "tests/store/scratch_folder.h"

namespace credbroker::store {
namespace {

constexpr uint64_t kSeed = 11;
constexpr size_t kMaxValue = 2'000;

int KillsWanted() {
  const char* wanted = std::getenv("CREDBROKER_KILLS");
  return wanted == nullptr ? 20 : std::atoi(wanted);
}

// Where the child ends itself, in its n-th commit; nullopt: its parent does.
struct KillAt {
  CommitPoint point;
  bool after_ack = false;
  int commit = 0;
};

// Never returns. Writes one byte to `acks` for every acknowledged commit.
[[noreturn]] void RunChild(const std::string& path, int acks, std::optional<KillAt> kill_at) {
  int in_commit = 0;
  SqliteOptions options{.path = path, .checkpoint_pages = 30};
  options.at_point = [&](CommitPoint point) {
    const bool here = kill_at.has_value() && !kill_at->after_ack && kill_at->point == point;
    if (here && in_commit == kill_at->commit) kill(getpid(), SIGKILL);
  };
  auto store = OpenSqliteStore(std::move(options));
  if (!store.ok()) _exit(3);
  const Fence fence = (*store)->TakeOwnership().value();
  absl::StatusOr<uint64_t> done = CommitsIn(**store, kSeed, kMaxValue);
  if (!done.ok()) _exit(4);
  for (uint64_t n = *done + 1;; ++n) {
    ++in_commit;
    if (!(*store)->Commit(NumberedCommit(kSeed, n, kMaxValue), fence).ok()) _exit(5);
    if (write(acks, "a", 1) != 1) _exit(6);
    if (kill_at.has_value() && kill_at->after_ack && in_commit == kill_at->commit) {
      kill(getpid(), SIGKILL);
    }
  }
}

// Kills the child at some moment after some acknowledgement; returns how many there were.
uint64_t KillWithin(pid_t child, int acks, std::mt19937_64& random) {
  const uint64_t wanted = random() % 20;
  char byte;
  uint64_t seen = 0;
  while (seen < wanted && read(acks, &byte, 1) == 1) ++seen;
  // Spread over the length of a commit; the moment is what is random here.
  const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 3'000);
  while (std::chrono::steady_clock::now() < until) {
  }
  kill(child, SIGKILL);
  while (read(acks, &byte, 1) == 1) ++seen;
  return seen;
}

uint64_t CountAcks(int acks) {
  char byte;
  uint64_t seen = 0;
  while (read(acks, &byte, 1) == 1) ++seen;
  return seen;
}

class Kill : public ::testing::Test {
 protected:
  // One life and death of the child, and the check of what it left.
  void Once(std::optional<KillAt> kill_at) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(pipe_ends[0]);
      RunChild(folder_ / "store.db", pipe_ends[1], kill_at);
    }
    close(pipe_ends[1]);
    const uint64_t acknowledged =
        done_ +
        (kill_at.has_value() ? CountAcks(pipe_ends[0]) : KillWithin(child, pipe_ends[0], random_));
    close(pipe_ends[0]);
    int how = 0;
    ASSERT_EQ(waitpid(child, &how, 0), child);
    ASSERT_TRUE(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL) << "exit " << WEXITSTATUS(how);

    auto store = OpenSqliteStore({.path = folder_ / "store.db"});
    ASSERT_TRUE(store.ok()) << store.status();
    absl::StatusOr<uint64_t> found = CommitsIn(**store, kSeed, kMaxValue);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_GE(*found, acknowledged) << "an acknowledged commit is lost";
    EXPECT_LE(*found, acknowledged + 1);
    if (kill_at.has_value() && !kill_at->after_ack) {
      EXPECT_EQ(*found - acknowledged, kill_at->point == CommitPoint::kAfterCommit ? 1u : 0u);
    }
    done_ = *found;
  }

  ScratchFolder folder_;
  std::mt19937_64 random_{1};
  uint64_t done_ = 0;
};

TEST_F(Kill, AtRandomMomentsLosesNothing) {
  const int kills = KillsWanted();
  for (int i = 0; i < kills && !HasFatalFailure(); ++i) {
    SCOPED_TRACE(i);
    // A fresh file now and then, to kill the creation too and to keep the check short.
    if (i % 25 == 24) {
      for (const char* name : {"store.db", "store.db-wal", "store.db-shm"}) {
        unlink((folder_ / name).c_str());
      }
      done_ = 0;
    }
    Once(std::nullopt);
  }
  std::printf("[ figures  ] %d random kills, the last store held %d commits\n", kills,
              static_cast<int>(done_));
}

TEST_F(Kill, AtEveryNamedPointLosesNothing) {
  const KillAt points[] = {{CommitPoint::kBeforeBegin},
                           {CommitPoint::kAfterBegin},
                           {CommitPoint::kBeforeCommit},
                           {CommitPoint::kAfterCommit},
                           {CommitPoint::kAfterCommit, /*after_ack=*/true}};
  const int rounds = KillsWanted() / 10 + 1;
  for (int round = 0; round < rounds; ++round) {
    for (KillAt kill_at : points) {
      kill_at.commit = 1 + static_cast<int>(random_() % 6);
      SCOPED_TRACE(static_cast<int>(kill_at.point));
      Once(kill_at);
    }
  }
}

}  // namespace
}  // namespace credbroker::store
