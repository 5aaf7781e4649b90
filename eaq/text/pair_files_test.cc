#include "eaq/text/pair_files.h"

#include <zlib.h>

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/test_shared.h"
#include "eaq/text/zip.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

std::string Number(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> 8 * i & 0xFF);
  return out;
}

std::string RawDeflate(const std::string& text) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(text.size() + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(&out[0]);
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// An archive as APPNOTE.TXT lays it out; names that end in "!" are stored, the others deflated.
std::string MakeZip(const std::vector<ZipEntry>& files) {
  std::string body, directory;
  for (const ZipEntry& file : files) {
    const bool stored = absl::EndsWith(file.name, "!");
    const std::string name = file.name.substr(0, file.name.size() - stored);
    const std::string packed = stored ? file.bytes : RawDeflate(file.bytes);
    const uint64_t crc = crc32(0, reinterpret_cast<const Bytef*>(file.bytes.data()), file.bytes.size());
    const std::string shared = Number(0, 2) + Number(stored ? 0 : 8, 2) + Number(0, 4) + Number(crc, 4) +
                               Number(packed.size(), 4) + Number(file.bytes.size(), 4) + Number(name.size(), 2);
    directory += Number(0x02014b50, 4) + Number(20, 2) + Number(20, 2) + shared + Number(3, 2) + Number(2, 2) +
                 Number(0, 8) + Number(body.size(), 4) + name + "xyz" + "cc";
    body += Number(0x04034b50, 4) + Number(20, 2) + shared + Number(1, 2) + name + "x" + packed;
  }
  return body + directory + Number(0x06054b50, 4) + Number(0, 4) + Number(files.size(), 2) + Number(files.size(), 2) +
         Number(directory.size(), 4) + Number(body.size(), 4) + Number(5, 2) + "hello";
}

std::string Line(const std::string& good, const std::string& bad, const std::string& id, const std::string& term) {
  return absl::StrCat("{\"sentence_good\": \"", good, "\", \"sentence_bad\": \"", bad, "\", \"UID\": \"", id,
                      "\", \"linguistics_term\": \"", term, "\", \"pairID\": \"0\"}\n");
}

const auto kAll = [](absl::string_view) { return true; };

TEST(ReadZip, GivesBackWhatWasPacked) {
  const std::string text(100000, 'a'), bytes("\0\1\2", 3);
  const std::string zip = MakeZip({{"data/a.txt", text}, {"b!", bytes}, {"empty", ""}});
  EAQ_ASSERT_OK_AND_ASSIGN(const auto entries, ReadZip(zip, kAll));
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].name, "data/a.txt");
  EXPECT_EQ(entries[0].bytes, text);
  EXPECT_EQ(entries[1].bytes, bytes);
  EXPECT_EQ(entries[2].bytes, "");
  EAQ_ASSERT_OK_AND_ASSIGN(const auto some, ReadZip(zip, [](absl::string_view name) { return name == "b"; }));
  EXPECT_EQ(some.size(), 1u);
  EXPECT_THAT(ReadZip(zip, kAll, 1000), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 1000")));
}

// Whatever is cut off or flipped is refused or harmless, never read past the end (run it under --config=asan).
TEST(ReadZip, DamageIsNoticed) {
  const std::string text = "some text that deflate can shorten, shorten, shorten";
  const std::string zip = MakeZip({{"data/a.txt", text}, {"b!", text}});
  for (size_t n = 0; n < zip.size(); ++n) EXPECT_FALSE(ReadZip(zip.substr(0, n), kAll).ok()) << n;
  for (size_t i = 0; i < zip.size(); ++i) {
    for (const int flip : {1, 128, 255}) {
      std::string other = zip;
      other[i] = static_cast<char>(other[i] ^ flip);
      const auto entries = ReadZip(other, kAll);
      if (!entries.ok()) continue;
      for (const ZipEntry& entry : *entries) EXPECT_EQ(entry.bytes, text) << i;
    }
  }
}

class PairFiles : public ::testing::Test {
 protected:
  PairFiles()
      : folder_(JoinPath(::testing::TempDir(), ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    EXPECT_THAT(MakeDirectories(folder_), IsOk());
  }
  std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = JoinPath(folder_, name);
    EXPECT_THAT(WriteFileAtomic(path, bytes), IsOk());
    return path;
  }
  const std::string folder_;
};

TEST_F(PairFiles, FolderArchiveAndFileSayTheSame) {
  const std::string one = Line("A cat sleeps.", "A cat sleep.", "b_agreement", "agreement") + "\n" +
                          Line("Cats sleep.", "Cats sleeps.", "b_agreement", "agreement");
  const std::string two = Line("She is loud.", "She are loud.", "a_select", "s-selection");
  Write("pairs.zip", MakeZip({{"data/one.jsonl", one},
                              {"__MACOSX/data/one.jsonl", "rubbish"},
                              {"data/._two.jsonl", "rubbish"},
                              {"data/readme.txt!", "rubbish"},
                              {"data/two.jsonl!", two}}));
  EAQ_ASSERT_OK_AND_ASSIGN(const PairSet beside, LoadPairSet("t", folder_));  // the folder's only archive
  EAQ_ASSERT_OK_AND_ASSIGN(const PairSet archive, LoadPairSet("t", JoinPath(folder_, "pairs.zip")));
  Write("z.jsonl", two);
  const std::string file = Write("one.jsonl", one);
  EAQ_ASSERT_OK_AND_ASSIGN(const PairSet files, LoadPairSet("t", folder_));
  EXPECT_EQ(beside.sha256, archive.sha256);
  EXPECT_EQ(files.sha256, archive.sha256);
  ASSERT_EQ(files.paradigms.size(), 2u);
  EXPECT_EQ(files.paradigms[0].id, "a_select");
  EXPECT_EQ(files.paradigms[0].phenomenon, "argument_structure");
  EXPECT_EQ(files.paradigms[1].phenomenon, "agreement");
  ASSERT_EQ(files.paradigms[1].pairs.size(), 2u);
  EXPECT_EQ(files.paradigms[1].pairs[1].good, "Cats sleep.");
  EXPECT_EQ(files.paradigms[1].pairs[1].bad, "Cats sleeps.");
  EAQ_ASSERT_OK_AND_ASSIGN(const PairSet alone, LoadPairSet("t", file));
  EXPECT_EQ(alone.paradigms.size(), 1u);
  EXPECT_NE(alone.sha256, files.sha256);
  Write("one.jsonl", Line("A cat sleeps.", "A cat sleep!", "b_agreement", "agreement"));
  EAQ_ASSERT_OK_AND_ASSIGN(const PairSet changed, LoadPairSet("t", folder_));
  EXPECT_NE(changed.sha256, files.sha256);
}

TEST_F(PairFiles, ErrorsNameFileAndLine) {
  const auto error = [&](const std::string& text) {
    const std::string path = Write("p.jsonl", text);
    const auto pairs = LoadPairSet("mine", path);
    EXPECT_EQ(pairs.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(pairs.status().message()), HasSubstr("task mine: " + path));
    return std::string(pairs.status().message());
  };
  const std::string good = Line("a", "b", "u", "t");
  EXPECT_THAT(error(good + "{\"sentence_good\": "), HasSubstr("p.jsonl:2: "));
  EXPECT_THAT(error(good + "\n[1]\n"), HasSubstr("p.jsonl:3: expected an object"));
  EXPECT_THAT(error(good + "{\"sentence_good\": \"a\", \"UID\": \"u\"}"),
              HasSubstr("p.jsonl:2: field \"sentence_bad\": expected a string, found nothing"));
  EXPECT_THAT(error("{\"sentence_good\": 1}"), HasSubstr("p.jsonl:1: field \"sentence_good\": expected a string"));
  EXPECT_THAT(error(Line("", "b", "u", "t")), HasSubstr("p.jsonl:1: field \"sentence_good\": expected a text"));
  EXPECT_THAT(error(good + Line("a", "b", "v", "t")), HasSubstr("p.jsonl:2: UID \"v\""));
  EXPECT_THAT(error(good + Line("a", "b", "u", "w")), HasSubstr("linguistics_term \"w\""));
  EXPECT_THAT(error("\n \n"), HasSubstr("no pairs in it"));
}

TEST_F(PairFiles, MissingFilesAndDoubleParadigms) {
  EXPECT_THAT(LoadPairSet("mine", folder_ + "/nothing"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nothing: no such file")));
  EXPECT_THAT(LoadPairSet("mine", folder_), StatusIs(absl::StatusCode::kNotFound, HasSubstr("expected files *.jsonl")));
  Write("a.jsonl", Line("a", "b", "u", "t"));
  Write("b.jsonl", Line("a", "b", "u", "t"));
  EXPECT_THAT(LoadPairSet("mine", folder_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("two files hold the paradigm \"u\"")));
  EXPECT_THAT(LoadPairSet("mine", Write("c.zip", "PK no")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("c.zip: zip:")));
}

// BLiMP as it is distributed: counts of evaluation_protocol.md, section 7.
TEST(Blimp, IsReadWhole) {
  EAQ_SHARED_OR_SKIP(folder, "data/blimp");
  EAQ_ASSERT_OK_AND_ASSIGN(const PairSet blimp, LoadPairSet("blimp", folder));
  EXPECT_EQ(blimp.paradigms.size(), 67u);
  std::map<std::string, int> phenomena;
  int same = 0;
  for (const Paradigm& paradigm : blimp.paradigms) {
    EXPECT_EQ(paradigm.pairs.size(), 1000u) << paradigm.id;
    ++phenomena[paradigm.phenomenon];
    for (const SentencePair& pair : paradigm.pairs) same += pair.good == pair.bad;
  }
  const std::map<std::string, int> expected = {
      {"anaphor_agreement", 2},     {"argument_structure", 9}, {"binding", 7},
      {"control_raising", 5},       {"ellipsis", 2},           {"determiner_noun_agreement", 8},
      {"filler_gap_dependency", 7}, {"irregular_forms", 2},    {"island_effects", 8},
      {"npi_licensing", 7},         {"quantifiers", 4},        {"subject_verb_agreement", 6}};
  EXPECT_EQ(phenomena, expected);
  EXPECT_EQ(same, 7);  // pairs without a difference: always wrong in the original protocol, always right in lm-eval's
}

}  // namespace
}  // namespace eaq
