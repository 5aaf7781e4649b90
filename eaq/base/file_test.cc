#include "eaq/base/file.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "eaq/base/status_matchers.h"
#include "eaq/base/thread_pool.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const ::testing::TestInfo* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = JoinPath(::testing::TempDir(), std::string("file_test_") + info->name());
    EAQ_ASSERT_OK(MakeDirectories(folder_));
    EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, ListDirectory(folder_));
    for (const std::string& name : names) EAQ_ASSERT_OK(RemoveFile(Path(name)));
  }
  std::string Path(const std::string& name) const { return JoinPath(folder_, name); }
  std::string folder_;
};

TEST_F(FileTest, WhatIsWrittenIsRead) {
  std::string bytes;
  for (int i = 0; i < 300000; ++i) bytes.push_back(static_cast<char>(i * 31));
  for (const std::string& content : {std::string(), std::string("a\0b", 3), bytes}) {
    EAQ_ASSERT_OK(WriteFileAtomic(Path("f"), content));
    EXPECT_THAT(ReadFile(Path("f")), IsOkAndHolds(content));
    EXPECT_THAT(FileSize(Path("f")), IsOkAndHolds(content.size()));
    EXPECT_THAT(ListDirectory(folder_), IsOkAndHolds(ElementsAre("f")));  // no temporary file stays
  }
}

TEST_F(FileTest, ReadingSaysWhatAndWhy) {
  EXPECT_THAT(ReadFile(Path("none")),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr(Path("none")), HasSubstr("No such file"))));
  EXPECT_THAT(ReadFile(folder_), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("Is a directory")));
  EAQ_ASSERT_OK(WriteFileAtomic(Path("plain"), "x"));
  EXPECT_THAT(ReadFile(Path("plain/below")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("Not a directory")));
}

// Files whose size the system does not tell (0 in stat) are read to their end all the same.
TEST_F(FileTest, ReadsFilesOfUnknownSize) {
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string status, ReadFile("/proc/self/status"));
  EXPECT_THAT(status, HasSubstr("VmRSS"));
}

TEST_F(FileTest, WritingIntoAMissingFolder) {
  EXPECT_THAT(WriteFileAtomic(Path("no/such/f"), "x"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no/such/f")));
  EXPECT_FALSE(FileExists(Path("no")));
}

TEST_F(FileTest, WritingOverAFolderLeavesItAndNoTemporaryFile) {
  EAQ_ASSERT_OK(MakeDirectories(Path("target")));
  EXPECT_FALSE(WriteFileAtomic(Path("target"), "x").ok());
  EXPECT_TRUE(IsDirectory(Path("target")));
  EXPECT_THAT(ListDirectory(folder_), IsOkAndHolds(ElementsAre("target")));
  rmdir(Path("target").c_str());
}

// A disk that fills up in the middle, imitated by a limit on the size of files in a child process.
TEST_F(FileTest, FullDiskKeepsTheOldContentAndLeavesNothingBehind) {
  EAQ_ASSERT_OK(WriteFileAtomic(Path("f"), "old"));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {4096, 4096};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(10);
    const absl::Status status = WriteFileAtomic(Path("f"), std::string(100000, 'n'));
    _exit(status.code() == absl::StatusCode::kResourceExhausted ? 0 : 11);
  }
  int state = 0;
  ASSERT_EQ(waitpid(child, &state, 0), child);
  EXPECT_TRUE(WIFEXITED(state));
  EXPECT_EQ(WEXITSTATUS(state), 0) << "10: no limit could be set; 11: not the expected error";
  EXPECT_THAT(ReadFile(Path("f")), IsOkAndHolds("old"));
  EXPECT_THAT(ListDirectory(folder_), IsOkAndHolds(ElementsAre("f")));
}

TEST_F(FileTest, ReallyFullDeviceIsResourceExhausted) {
  if (!FileExists("/dev/full")) GTEST_SKIP() << "SKIPPED: no /dev/full here";
  const int fd = open("/dev/full", O_WRONLY);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(write(fd, "x", 1), -1);  // the system's own answer, for the message below
  close(fd);
  // WriteFileAtomic renames, so it never writes to the device itself; it must refuse to create files in /dev's stead.
  EXPECT_FALSE(WriteFileAtomic("/dev/full/x", "x").ok());
}

TEST_F(FileTest, ReadOnlyFolderKeepsTheOldContent) {
  EAQ_ASSERT_OK(WriteFileAtomic(Path("f"), "old"));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {  // root may write anywhere, unless it gives up its capabilities
    chmod(folder_.c_str(), 0555);
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2] = {};
    if (syscall(SYS_capset, &header, none) != 0) _exit(10);
    _exit(WriteFileAtomic(Path("f"), "new").code() == absl::StatusCode::kPermissionDenied ? 0 : 11);
  }
  int state = 0;
  ASSERT_EQ(waitpid(child, &state, 0), child);
  chmod(folder_.c_str(), 0755);
  EXPECT_EQ(WEXITSTATUS(state), 0) << "10: capabilities could not be dropped; 11: not the expected error";
  EXPECT_THAT(ReadFile(Path("f")), IsOkAndHolds("old"));
  EXPECT_THAT(ListDirectory(folder_), IsOkAndHolds(ElementsAre("f")));
}

TEST_F(FileTest, ManyWritersOfOneFileLeaveOneWholeContent) {
  ThreadPool pool(4);
  std::vector<absl::Status> results(64);
  pool.ParallelFor(64, [&](int64_t i) {
    results[i] = WriteFileAtomic(Path("f"), std::string(50000, static_cast<char>('A' + i % 26)));
  });
  for (const absl::Status& status : results) EAQ_EXPECT_OK(status);
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(Path("f")));
  EXPECT_EQ(bytes, std::string(50000, bytes[0]));
  EXPECT_THAT(ListDirectory(folder_), IsOkAndHolds(ElementsAre("f")));
}

TEST_F(FileTest, MakeDirectories) {
  EAQ_ASSERT_OK(MakeDirectories(Path("a/b//c/")));
  EXPECT_TRUE(IsDirectory(Path("a/b/c")));
  EAQ_ASSERT_OK(MakeDirectories(Path("a/b/c")));
  EAQ_ASSERT_OK(WriteFileAtomic(Path("a/file"), "x"));
  EXPECT_THAT(MakeDirectories(Path("a/file")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("a/file")));
  EXPECT_FALSE(MakeDirectories(Path("a/file/below")).ok());
  EAQ_ASSERT_OK(RemoveFile(Path("a/file")));
  for (const char* folder : {"a/b/c", "a/b", "a"}) EXPECT_EQ(rmdir(Path(folder).c_str()), 0);
}

TEST_F(FileTest, ListingIsSortedAndRemovingIsIdempotent) {
  for (const char* name : {"b", "a", "c"}) EAQ_ASSERT_OK(WriteFileAtomic(Path(name), "x"));
  EXPECT_THAT(ListDirectory(folder_), IsOkAndHolds(ElementsAre("a", "b", "c")));
  EAQ_EXPECT_OK(RemoveFile(Path("b")));
  EAQ_EXPECT_OK(RemoveFile(Path("b")));
  EXPECT_THAT(ListDirectory(folder_), IsOkAndHolds(ElementsAre("a", "c")));
  EXPECT_THAT(ListDirectory(Path("none")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST_F(FileTest, FreeBytes) {
  EAQ_ASSERT_OK_AND_ASSIGN(const int64_t free_bytes, FreeBytes(folder_));
  EXPECT_GT(free_bytes, 0);
  EXPECT_FALSE(FreeBytes(Path("none")).ok());
}

TEST_F(FileTest, MappedFileShowsTheBytesAndOutlivesItsName) {
  EAQ_ASSERT_OK(WriteFileAtomic(Path("m"), "mapped bytes"));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto file, MappedFile::Open(Path("m")));
  EXPECT_EQ(file->bytes(), "mapped bytes");
  EXPECT_EQ(file->path(), Path("m"));
  EAQ_ASSERT_OK(RemoveFile(Path("m")));
  EXPECT_EQ(file->bytes(), "mapped bytes");
}

TEST_F(FileTest, MappedFileNoticesAChangedSize) {
  EAQ_ASSERT_OK(WriteFileAtomic(Path("m"), "twelve bytes"));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto file, MappedFile::Open(Path("m")));
  EAQ_EXPECT_OK(file->CheckUnchanged());
  ASSERT_EQ(truncate(Path("m").c_str(), 3), 0);
  EXPECT_THAT(file->CheckUnchanged(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("12 bytes then, 3 now")));
}

TEST_F(FileTest, MappedFileOfNothingAndOfNoFile) {
  EAQ_ASSERT_OK(WriteFileAtomic(Path("empty"), ""));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto file, MappedFile::Open(Path("empty")));
  EXPECT_EQ(file->bytes(), "");
  EAQ_EXPECT_OK(file->CheckUnchanged());
  EXPECT_THAT(MappedFile::Open(Path("none")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  EXPECT_THAT(MappedFile::Open(folder_), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(folder_)));
  EXPECT_FALSE(MappedFile::Open("/dev/null").ok());
}

TEST(PathTest, JoinDirnameBasename) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
  EXPECT_EQ(JoinPath("/", "b"), "/b");
  EXPECT_EQ(Dirname("a/b/c"), "a/b");
  EXPECT_EQ(Dirname("/a"), "/");
  EXPECT_EQ(Dirname("a"), ".");
  EXPECT_EQ(Basename("a/b.txt"), "b.txt");
  EXPECT_EQ(Basename("b.txt"), "b.txt");
}

// The environment of `bazel run` decides from where a typed path counts.
class EnvironmentTest : public FileTest {
 protected:
  void TearDown() override {
    unsetenv("BUILD_WORKING_DIRECTORY");
    unsetenv("BUILD_WORKSPACE_DIRECTORY");
  }
};

TEST_F(EnvironmentTest, ResolveUserPath) {
  unsetenv("BUILD_WORKING_DIRECTORY");
  char here[4096];
  ASSERT_NE(getcwd(here, sizeof(here)), nullptr);
  EXPECT_EQ(ResolveUserPath("x/y"), std::string(here) + "/x/y");
  EXPECT_EQ(ResolveUserPath("/x/y"), "/x/y");
  setenv("BUILD_WORKING_DIRECTORY", "/home/someone", 1);
  EXPECT_EQ(ResolveUserPath("x/y"), "/home/someone/x/y");
  EXPECT_EQ(ResolveUserPath("/x/y"), "/x/y");
}

TEST_F(EnvironmentTest, FindInRepository) {
  EAQ_ASSERT_OK(WriteFileAtomic(Path("thing"), "x"));
  setenv("BUILD_WORKSPACE_DIRECTORY", folder_.c_str(), 1);
  EXPECT_THAT(FindInRepository("thing"), IsOkAndHolds(Path("thing")));
  EXPECT_THAT(FindInRepository("no such thing"),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr(folder_), HasSubstr("absolute path"))));
  // Without that variable: the runfiles tree or a parent of the working directory. Bazel runs tests in a tree that
  // holds this test's own source as data.
  unsetenv("BUILD_WORKSPACE_DIRECTORY");
  EAQ_EXPECT_OK(FindInRepository("eaq/base/file_test.cc"));
}

}  // namespace
}  // namespace eaq
