// Runs in child processes, shrinking, and the text form of a plan.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "tests/sim/simulation.h"

namespace credbroker::sim {
namespace {

std::string Pack(const Outcome& out) {
  std::string text =
      absl::StrCat(out.ok, "\n", out.events, "\n", out.hash, "\n", out.failure.size(), "\n",
                   out.failure, out.story.size(), "\n", out.story);
  for (const auto& [what, times] : out.seen) absl::StrAppend(&text, times, " ", what, "\n");
  return text;
}

Outcome Unpack(const std::string& text) {
  Outcome out;
  std::istringstream in(text);
  size_t size = 0;
  in >> out.ok >> out.events >> out.hash >> size;
  in.get();
  out.failure.resize(size);
  in.read(out.failure.data(), static_cast<std::streamsize>(size));
  in >> size;
  in.get();
  out.story.resize(size);
  in.read(out.story.data(), static_cast<std::streamsize>(size));
  uint64_t times;
  while (in >> times) {
    std::string what;
    in.get();
    std::getline(in, what);
    out.seen[what] = times;
  }
  return out;
}

}  // namespace

Outcome RunApart(const Plan& plan) {
  Outcome failed;
  failed.ok = false;
  failed.events = plan.events.size();
  int ends[2], errors[2];
  if (pipe(ends) != 0 || pipe(errors) != 0) {
    failed.failure = "no pipe";
    return failed;
  }
  const pid_t child = fork();
  if (child == 0) {
    dup2(errors[1], STDERR_FILENO);
    alarm(120);  // a hang is a failure too
    const std::string text = Pack(Run(plan));
    for (size_t at = 0; at < text.size();) {
      const ssize_t n = write(ends[1], text.data() + at, text.size() - at);
      if (n <= 0) _exit(1);
      at += static_cast<size_t>(n);
    }
    _exit(0);
  }
  close(ends[1]);
  close(errors[1]);
  std::string text, complaint;
  pollfd fds[2] = {{ends[0], POLLIN, 0}, {errors[0], POLLIN, 0}};
  char buffer[4096];
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    poll(fds, 2, -1);
    for (auto& fd : fds) {
      if (fd.fd < 0 || fd.revents == 0) continue;
      const ssize_t n = read(fd.fd, buffer, sizeof(buffer));
      if (n <= 0) {
        close(fd.fd);
        fd.fd = -1;
      } else {
        (&fd == &fds[0] ? text : complaint).append(buffer, static_cast<size_t>(n));
      }
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Unpack(text);
  failed.failure = absl::StrCat(
      "died: ", complaint.substr(complaint.size() - std::min<size_t>(complaint.size(), 4000)),
      " status ", status);
  return failed;
}

Plan Shrink(const Plan& failing, int tries) {
  Plan best = failing;
  const Outcome first = RunApart(best);
  if (first.ok) return best;
  // What came after the failure cannot have caused it.
  if (first.events < best.events.size()) best.events.resize(first.events);
  size_t chunk = std::max<size_t>(1, best.events.size() / 2);
  while (tries > 0) {
    bool any = false;
    for (size_t at = 0; at < best.events.size() && tries > 0;) {
      Plan smaller = best;
      const size_t end = std::min(best.events.size(), at + chunk);
      smaller.events.erase(smaller.events.begin() + static_cast<ptrdiff_t>(at),
                           smaller.events.begin() + static_cast<ptrdiff_t>(end));
      --tries;
      const Outcome out = RunApart(smaller);
      if (!out.ok) {
        if (out.events < smaller.events.size()) smaller.events.resize(out.events);
        best = smaller;
        any = true;
      } else {
        at = end;
      }
    }
    if (chunk == 1 && !any) break;
    chunk = std::max<size_t>(1, chunk / 2);
  }
  return best;
}

std::string ToText(const Plan& plan) {
  std::string text = absl::StrCat("seed ", plan.seed, "\nevents");
  for (uint32_t event : plan.events) absl::StrAppend(&text, " ", event);
  return text + "\n";
}

Plan FromText(const std::string& text) {
  Plan plan;
  std::istringstream in(text);
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "seed") words >> plan.seed;
    if (word != "events") continue;
    for (uint32_t event; words >> event;) plan.events.push_back(event);
  }
  return plan;
}

}  // namespace credbroker::sim
