#include "eaq/ledger/provenance.h"

#include <sys/wait.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace eaq {
namespace {

TEST(Provenance, NamesTheMachine) {
  const Provenance& p = CollectProvenance();
  EXPECT_EQ(p.binary_hash.size(), 64);
  EXPECT_FALSE(p.host.empty());
  EXPECT_GE(p.cores, 1);
  EXPECT_NE(p.kernel.find("Linux"), std::string::npos);
  EXPECT_FALSE(p.compiler.empty());
  EXPECT_TRUE(p.commit == "unknown" || p.commit.size() == 40) << p.commit;
  EXPECT_EQ(&p, &CollectProvenance());
}

TEST(ProcessStart, TellsTheLivingFromTheDead) {
  EXPECT_GT(ProcessStart(getpid()), 0);
  EXPECT_EQ(ProcessStart(0x7fffffff), 0);
  const pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, child, &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(ProcessStart(child), 0) << "a zombie counts as gone";
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(ProcessStart(child), 0);
}

}  // namespace
}  // namespace eaq
