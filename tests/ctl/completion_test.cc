#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>

#include <gtest/gtest.h>

#include "tests/ctl/fake_broker.h"

namespace credbroker::ctl {
namespace {

// What the shell command prints.
std::string Shell(const std::string& command, int* code) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  std::string out;
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe)) out.append(buffer, n);
  const int status = pclose(pipe);
  *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}

class Completion : public CtlTest {
 protected:
  // What bash offers for the words; the last one is being typed.
  std::string Offers(const std::string& words, int current) {
    const std::string script = folder_.Write("c.bash", Run({"completion", "bash"}).out);
    int code = 0;
    return Shell("bash -c 'source " + script + "; COMP_WORDS=(credbrokerctl " + words +
                     "); COMP_CWORD=" + std::to_string(current) +
                     "; _credbrokerctl; echo ${COMPREPLY[*]}'",
                 &code);
  }
};

TEST_F(Completion, OffersCommandsFlagsAndValues) {
  EXPECT_EQ(Offers("re", 1), "renew report release reset\n");
  EXPECT_EQ(Offers("list --st", 2), "--state\n");
  EXPECT_EQ(Offers("list --state w", 3), "waiting\n");
  EXPECT_EQ(Offers("-o j", 2), "json\n");
  EXPECT_EQ(Offers("policy t", 2), "test\n");
  EXPECT_EQ(Offers("batch undo --d", 3), "--dry-run\n");
  EXPECT_EQ(Offers("completion z", 2), "zsh\n");
}

class CompletionScript : public CtlTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(CompletionScript, ParsesInItsShell) {
  const std::string shell = GetParam();
  int code = 0;
  Shell("command -v " + shell, &code);
  if (code != 0) GTEST_SKIP() << shell << " is not installed";
  const Result result = Run({"completion", shell});
  EXPECT_EQ(result.code, 0);
  EXPECT_GT(result.out.size(), 2000u);
  const std::string script = folder_.Write("script", result.out);
  const std::string said = Shell(shell + " -n " + script, &code);
  EXPECT_EQ(code, 0) << said;
}

INSTANTIATE_TEST_SUITE_P(Shells, CompletionScript, ::testing::Values("bash", "zsh", "fish"));

}  // namespace
}  // namespace credbroker::ctl
