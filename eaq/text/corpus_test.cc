#include "eaq/text/corpus.h"

#include <zlib.h>

#include <iostream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/text/bpe_train.h"
#include "eaq/text/dpkg.h"
#include "eaq/text/gzip.h"
#include "eaq/text/windows.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string TempFolder(absl::string_view name) {
  const std::string folder = JoinPath(::testing::TempDir(), absl::StrCat("corpus_test_", name));
  EAQ_EXPECT_OK(MakeDirectories(folder));
  return folder;
}

void Write(const std::string& path, absl::string_view text) { EAQ_ASSERT_OK(WriteFileAtomic(path, text)); }

std::string Gzip(const std::string& text) {
  z_stream stream = {};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(text.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST(SplitOf, DependsOnIdentityAndHasTheRightShares) {
  int counts[3] = {};
  for (int i = 0; i < 20000; ++i) ++counts[static_cast<int>(SplitOf("c", absl::StrCat("doc ", i), {5, 10}))];
  EXPECT_NEAR(counts[0], 17000, 200);  // 4 standard errors are 200
  EXPECT_NEAR(counts[1], 1000, 125);
  EXPECT_NEAR(counts[2], 2000, 170);
  // Frozen: a change here would move documents between training and evaluation.
  std::string frozen;
  for (int i = 0; i < 24; ++i) frozen += "TCE"[static_cast<int>(SplitOf("scripture", absl::StrCat("Ge", i), {30, 30}))];
  EXPECT_EQ(frozen, "CECCTTTETCECETTTCTETEETC");
}

TEST(LoadCorpus, ReadsAFolder) {
  const std::string folder = TempFolder("folder");
  EAQ_ASSERT_OK(MakeDirectories(JoinPath(folder, "sub")));
  Write(JoinPath(folder, "a.txt"), "Plain text.\n");
  Write(JoinPath(folder, ".hidden"), "no");
  Write(JoinPath(folder, "sub/b.jsonl"), "{\"text\": \"one\"}\n\n{\"id\": \"two\", \"content\": \"zwei\"}\n");
  Write(JoinPath(folder, "sub/c.raw"),
        " = First = \n\n Text . \n\n = = Part = = \n\n More . \n\n = Second = \n\n End . \n");
  Write(JoinPath(folder, "sub/d.txt.gz"), Gzip("packed\n"));
  EAQ_ASSERT_OK_AND_ASSIGN(const Corpus corpus, LoadCorpus("mine", folder));
  std::vector<std::string> ids;
  for (const Document& document : corpus.documents) ids.push_back(document.id);
  EXPECT_THAT(ids, ::testing::ElementsAre("a.txt", "sub/b.jsonl#line 1", "sub/b.jsonl#two",
                                          "sub/c.raw#1 = First =", "sub/c.raw#2 = Second =", "sub/d.txt.gz"));
  EXPECT_EQ(corpus.documents[2].text, "zwei");
  EXPECT_THAT(corpus.documents[3].text, AllOf(HasSubstr("More ."), HasSubstr("= = Part = =")));
  EXPECT_EQ(corpus.documents[5].text, "packed\n");
  EXPECT_EQ(corpus.sha256.size(), 64u);

  Write(JoinPath(folder, "a.txt"), "Plain test.\n");
  EAQ_ASSERT_OK_AND_ASSIGN(const Corpus changed, LoadCorpus("mine", folder));
  EXPECT_NE(changed.sha256, corpus.sha256);
}

TEST(LoadCorpus, SaysWhatIsWrong) {
  EXPECT_THAT(LoadCorpus("klingon", ""),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("klingon"), HasSubstr("computing"))));
  EXPECT_THAT(LoadCorpus("mine", "/nonexistent/x.txt"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nonexistent")));
  const std::string folder = TempFolder("wrong");
  const auto expect = [&](const std::string& name, absl::string_view text, const std::string& message) {
    const std::string path = JoinPath(folder, name);
    Write(path, text);
    EXPECT_THAT(LoadCorpus("mine", path), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message))) << name;
  };
  expect("empty.txt", "", "no text");
  expect("a.jsonl", "{\"text\": \"x\"}\n{\"text\": 3}\n", "line 2");
  expect("b.jsonl", "{\"text\": \"x\"\n", "line 1");
  expect("c.jsonl", "[1]\n", "line 1");
  expect("d.jsonl", "{\"id\":1,\"text\":\"x\"}\n{\"id\":1,\"text\":\"y\"}\n", "unique");
  expect("e.txt.gz", "not gzip", "gzip");
  expect("f.txt.gz", Gzip("some text that is cut off").substr(0, 20), "gzip");
}

TEST(Gunzip, ReadsAllMembersAndKeepsTheLimit) {
  EXPECT_THAT(Gunzip(Gzip("one ") + Gzip("two")), IsOkAndHolds(std::string("one two")));
  const std::string big(1 << 20, 'x');
  EXPECT_THAT(Gunzip(Gzip(big)), IsOkAndHolds(big));
  EXPECT_THAT(Gunzip(Gzip(big), 1000), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 1000")));
  EXPECT_THAT(Gunzip(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("gzip")));
}

TEST(Dpkg, ReadsTheDatabase) {
  const std::string folder = TempFolder("dpkg");
  EAQ_ASSERT_OK(MakeDirectories(JoinPath(folder, "info")));
  Write(JoinPath(folder, "status"),
        "Package: xtext\nStatus: install ok installed\nVersion: 9\n\nPackage: text\nStatus: install ok installed\n"
        "Architecture: amd64\nVersion: 1.2-3\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n");
  Write(JoinPath(folder, "info/text:amd64.list"), "/.\n/usr/b\n/usr/a\n");
  EAQ_ASSERT_OK_AND_ASSIGN(const InstalledPackage package, FindInstalledPackage("text", folder));
  EXPECT_EQ(package.version, "1.2-3");
  EXPECT_THAT(ListPackageFiles(package, folder), IsOkAndHolds(std::vector<std::string>{"/.", "/usr/a", "/usr/b"}));
  for (const char* name : {"gone", "tex", "never"}) {
    EXPECT_THAT(FindInstalledPackage(name, folder),
                StatusIs(absl::StatusCode::kNotFound,
                         HasSubstr(absl::StrCat("apt-get install -y --no-install-recommends ", name))));
  }
  EXPECT_THAT(FindInstalledPackage("text", "/nonexistent"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("apt-get")));
}

// The corpora as they are installed here: enough text in every split, no markup, the same twice.
TEST(DefaultCorpora, AreCleanAndLargeEnough) {
  ThreadPool pool(1);
  std::set<std::string> languages;
  std::shared_ptr<const Tokenizer> tokenizer;  // of the first corpus: good enough to count windows with
  for (const CorpusInfo& info : DefaultCorpora()) {
    languages.insert(info.language);
    const absl::StatusOr<Corpus> corpus = LoadCorpus(info.name, "");
    if (absl::IsNotFound(corpus.status())) {
      std::cerr << "SKIPPED: corpus " << info.name << ": " << corpus.status() << "\n";
      continue;
    }
    ASSERT_THAT(corpus, IsOk());
    EXPECT_FALSE(corpus->version.empty());
    if (tokenizer == nullptr) {
      EAQ_ASSERT_OK_AND_ASSIGN(const std::string json, TrainTokenizer({*corpus}, {.vocab_size = 2048}, &pool));
      EAQ_ASSERT_OK_AND_ASSIGN(tokenizer, Tokenizer::Parse(json));
    }
    int64_t bytes = 0;
    for (const Document& document : corpus->documents) {
      bytes += static_cast<int64_t>(document.text.size());
      EXPECT_FALSE(absl::StrContains(document.text, "\n\n\n")) << info.name << " " << document.id;
    }
    EXPECT_GT(bytes, 3000000) << info.name;
    EXPECT_LT(bytes, 10000000) << info.name;
    for (const Split split : {Split::kCalibration, Split::kEvaluation}) {
      EAQ_ASSERT_OK_AND_ASSIGN(const std::vector<Window> windows, CutWindows(*corpus, *tokenizer, split, 256, &pool));
      std::set<std::string> documents;
      for (const Window& window : windows) documents.insert(window.document);
      EXPECT_GE(windows.size(), 150u) << info.name << " " << SplitName(split);
      EXPECT_GE(documents.size(), 15u) << info.name << " " << SplitName(split);
    }
    EAQ_ASSERT_OK_AND_ASSIGN(const Corpus again, LoadCorpus(info.name, ""));
    EXPECT_EQ(again.sha256, corpus->sha256);
  }
  EXPECT_GE(DefaultCorpora().size(), 5u);
  EXPECT_TRUE(languages.count("x-python") == 1 && languages.count("fr") == 1);
}

}  // namespace
}  // namespace eaq
