#include "eaq/text/item_files.h"

#include <bzlib.h>
#include <zlib.h>

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/test_shared.h"
#include "eaq/text/bzip2.h"
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

absl::StatusOr<ItemSet> LoadPairs(const std::string& path) {
  EvaluationTask task;
  task.set_name("mine");
  task.set_path(path);
  return LoadItems(task);
}

absl::StatusOr<ItemSet> LoadChoices(const std::string& path) {
  EvaluationTask task;
  task.set_name("mine");
  task.set_path(path);
  task.mutable_multiple_choice();
  return LoadItems(task);
}

absl::StatusOr<ItemSet> LoadWords(const std::string& path) {
  EvaluationTask task;
  task.set_name("mine");
  task.set_path(path);
  task.mutable_last_word();
  return LoadItems(task);
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

class ItemFiles : public ::testing::Test {
 protected:
  ItemFiles()
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

TEST_F(ItemFiles, FolderArchiveAndFileSayTheSame) {
  const std::string one = Line("A cat sleeps.", "A cat sleep.", "b_agreement", "agreement") + "\n" +
                          Line("Cats sleep.", "Cats sleeps.", "b_agreement", "agreement");
  const std::string two = Line("She is loud.", "She are loud.", "a_select", "s-selection");
  Write("pairs.zip", MakeZip({{"data/one.jsonl", one},
                              {"__MACOSX/data/one.jsonl", "rubbish"},
                              {"data/._two.jsonl", "rubbish"},
                              {"data/readme.txt!", "rubbish"},
                              {"data/two.jsonl!", two}}));
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet beside, LoadPairs(folder_));  // the folder's only archive
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet archive, LoadPairs(JoinPath(folder_, "pairs.zip")));
  Write("z.jsonl", two);
  const std::string file = Write("one.jsonl", one);
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet files, LoadPairs(folder_));
  EXPECT_EQ(beside.sha256, archive.sha256);
  EXPECT_EQ(files.sha256, archive.sha256);
  ASSERT_EQ(files.paradigms.size(), 2u);
  EXPECT_EQ(files.paradigms[0].id, "a_select");
  EXPECT_EQ(files.paradigms[0].phenomenon, "argument_structure");
  EXPECT_EQ(files.paradigms[1].phenomenon, "agreement");
  ASSERT_EQ(files.paradigms[1].items.size(), 2u);
  EXPECT_EQ(files.paradigms[1].items[1].choices[0].text, "Cats sleep.");
  EXPECT_EQ(files.paradigms[1].items[1].choices[1].text, "Cats sleeps.");
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet alone, LoadPairs(file));
  EXPECT_EQ(alone.paradigms.size(), 1u);
  EXPECT_NE(alone.sha256, files.sha256);
  Write("one.jsonl", Line("A cat sleeps.", "A cat sleep!", "b_agreement", "agreement"));
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet changed, LoadPairs(folder_));
  EXPECT_NE(changed.sha256, files.sha256);
}

TEST_F(ItemFiles, ErrorsNameFileAndLine) {
  const auto error = [&](const std::string& text) {
    const std::string path = Write("p.jsonl", text);
    const auto pairs = LoadPairs(path);
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
  EXPECT_THAT(error("\n \n"), HasSubstr("no items in it"));
}

TEST_F(ItemFiles, MissingFilesAndDoubleParadigms) {
  EXPECT_THAT(LoadPairs(folder_ + "/nothing"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nothing: no such file")));
  EXPECT_THAT(LoadPairs(folder_), StatusIs(absl::StatusCode::kNotFound, HasSubstr("expected files *.jsonl")));
  Write("a.jsonl", Line("a", "b", "u", "t"));
  Write("b.jsonl", Line("a", "b", "u", "t"));
  EXPECT_THAT(LoadPairs(folder_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("two files hold the paradigm \"u\"")));
  EXPECT_THAT(LoadPairs(Write("c.zip", "PK no")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("c.zip: zip:")));
}

// The hash of minimal pairs as it was when there were no other tasks: trials of old ledgers are named by it.
TEST_F(ItemFiles, HashOfPairsIsFrozen) {
  const std::string file = Write("p.jsonl", Line("A cat sleeps.", "A cat sleep.", "b_agreement", "agreement"));
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet pairs, LoadPairs(file));
  EXPECT_EQ(pairs.sha256, "079b83571c87705caa0185616a3ebf083ec77b31906d4d5466778f6b353f959a");
}

TEST_F(ItemFiles, OurOwnChoicesWordsAndEndings) {
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string folder, FindInRepository("eaq/text/testdata/items"));
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet choices, LoadChoices(folder + "/choices.jsonl"));
  ASSERT_EQ(choices.paradigms.size(), 1u);
  EXPECT_EQ(choices.paradigms[0].id, "choices");
  const std::vector<Item>& items = choices.paradigms[0].items;
  ASSERT_EQ(items.size(), 12u);
  EXPECT_EQ(items[3].choices[1].context, "Question: What is two plus two?\n");
  EXPECT_EQ(items[3].choices[1].text, "five");
  EXPECT_EQ(items[5].gold, 1);
  EXPECT_EQ(items[5].choices[1].text, "ch\xC3\xA2teau");
  ASSERT_EQ(items[11].choices.size(), 3u);
  EXPECT_EQ(items[11].choices[1].context, "Ann lent Mary a book, so Mary");
  EXPECT_EQ(items[11].choices[2].text, "had something new to read.");
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet words, LoadWords(folder + "/last_words.jsonl"));
  ASSERT_EQ(words.paradigms[0].items.size(), 6u);
  ASSERT_EQ(words.paradigms[0].items[0].choices.size(), 1u);
  EXPECT_EQ(words.paradigms[0].items[0].choices[0].text, "earth");
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet endings, LoadChoices(folder + "/endings.txt"));
  ASSERT_EQ(endings.paradigms[0].items.size(), 2u);
  EXPECT_EQ(endings.paradigms[0].items[1].gold, 3);
  EXPECT_EQ(endings.paradigms[0].items[1].choices[3].context, "Planting a tree: She digs a hole. She");
  EXPECT_EQ(endings.paradigms[0].items[1].choices[3].text, "sets the tree into it and fills in the earth.");
}

// What lies in another file, or packed, is the same; what says something else is not.
TEST_F(ItemFiles, IdentityIsContent) {
  const std::string line = "{\"query\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 1, \"more\": 7}\n";
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet first, LoadChoices(Write("t.jsonl", line)));
  std::string packed(1000, '\0');
  unsigned size = static_cast<unsigned>(packed.size());
  std::string text = line;
  ASSERT_EQ(BZ2_bzBuffToBuffCompress(packed.data(), &size, text.data(), static_cast<unsigned>(text.size()), 9, 0, 0),
            BZ_OK);
  packed.resize(size);
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet unpacked, LoadChoices(Write("t.jsonl.bz2", packed)));
  EXPECT_EQ(unpacked.sha256, first.sha256);
  EXPECT_EQ(unpacked.paradigms[0].id, "t");
  for (const char* other : {"{\"query\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 0}",
                            "{\"query\": \"p\", \"choices\": [\"a\", \"b\"], \"gold\": 1}",
                            "{\"query\": \"q\", \"choices\": [\"a\", \"c\"], \"gold\": 1}",
                            "{\"query\": \"q\", \"choices\": [\"a\", \"b\", \"c\"], \"gold\": 1}"}) {
    EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet changed, LoadChoices(Write("t.jsonl", other)));
    EXPECT_NE(changed.sha256, first.sha256) << other;
  }
  // Two streams in one file are read as one text; every cut is noticed.
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string twice, Bunzip2(packed + packed));
  EXPECT_EQ(twice, line + line);
  for (size_t n = 0; n < packed.size(); ++n) EXPECT_FALSE(Bunzip2(packed.substr(0, n)).ok()) << n;
  EXPECT_THAT(Bunzip2(packed, 10), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 10")));
}

TEST_F(ItemFiles, MalformedChoicesAndWordsNameFileAndLine) {
  const std::string good = "{\"query\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 1}\n";
  const auto error = [&](const std::string& line, bool words = false) {
    const std::string path = Write("m.jsonl", (words ? "" : good) + line);
    const auto items = words ? LoadWords(path) : LoadChoices(path);
    EXPECT_EQ(items.status().code(), absl::StatusCode::kInvalidArgument) << line;
    EXPECT_THAT(std::string(items.status().message()), HasSubstr("task mine: " + path + (words ? ":1: " : ":2: ")));
    return std::string(items.status().message());
  };
  EXPECT_THAT(error("{\"query\": "), HasSubstr("JSON"));
  EXPECT_THAT(error("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(error("{\"choices\": [\"a\", \"b\"], \"gold\": 1}"), HasSubstr("field \"query\": expected a string"));
  EXPECT_THAT(error("{\"query\": \"\", \"choices\": [\"a\", \"b\"], \"gold\": 1}"), HasSubstr("expected a text"));
  EXPECT_THAT(error("{\"query\": \"q\", \"choices\": \"ab\", \"gold\": 1}"), HasSubstr("expected an array"));
  EXPECT_THAT(error("{\"query\": \"q\", \"choices\": [\"a\"], \"gold\": 0}"), HasSubstr("2 texts or more, found 1"));
  EXPECT_THAT(error("{\"query\": \"q\", \"choices\": [\"a\", 7], \"gold\": 0}"), HasSubstr("expected texts, found 7"));
  EXPECT_THAT(error("{\"query\": \"q\", \"choices\": [\"a\", \"\"], \"gold\": 0}"), HasSubstr("expected texts"));
  EXPECT_THAT(error("{\"query\": \"q\", \"choices\": [\"a\", \"b\"]}"), HasSubstr("\"gold\": expected an integer"));
  EXPECT_THAT(error("{\"query\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 2}"),
              HasSubstr("field \"gold\": expected the index of one of 2 choices, found 2"));
  EXPECT_THAT(error("{\"query\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": -1}"), HasSubstr("found -1"));
  EXPECT_THAT(error("{\"query\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 1.0}"), HasSubstr("an integer"));
  EXPECT_THAT(error("{\"context_options\": [\"a\", \"b\"], \"gold\": 1}"), HasSubstr("\"continuation\""));
  EXPECT_THAT(error("{\"context_options\": [], \"continuation\": \"c\", \"gold\": 1}"), HasSubstr("context_options"));
  EXPECT_THAT(error("{\"context\": \"a\"}", true), HasSubstr("\"continuation\": expected a string"));
  EXPECT_THAT(error("{\"context\": \"a\", \"continuation\": \"\"}", true), HasSubstr("expected a text"));
  const auto lines = [&](const std::string& text) {
    return std::string(LoadChoices(Write("m.txt", text)).status().message());
  };
  EXPECT_THAT(lines("c\n0\na\nb\nc\nd\nc\n1\na\n"), HasSubstr("m.txt:10: the file ends inside of an item"));
  EXPECT_THAT(lines("c\n0\na\n\nc\nd\n"), HasSubstr("m.txt:4: an empty line inside of an item"));
  EXPECT_THAT(lines("c\nx\na\nb\nc\nd\n"), HasSubstr("m.txt:2: field \"gold\": expected an index, found x"));
  EXPECT_THAT(lines("c\n4\na\nb\nc\nd\n"), HasSubstr("m.txt:2: field \"gold\": expected the index of one of 4"));
  EXPECT_THAT(lines("\n\n"), HasSubstr("no items in it"));
}

// lm-evaluation-harness's tasks as the team has them: counts of evaluation_protocol.md, section 6.
TEST(HarnessTasks, AreReadWhole) {
  EAQ_SHARED_OR_SKIP(folder, "data/tasks");
  const auto count = [&](const std::string& file, size_t choices) {
    const auto set = choices == 1 ? LoadWords(JoinPath(folder, file)) : LoadChoices(JoinPath(folder, file));
    EXPECT_THAT(set, IsOk());
    if (!set.ok()) return size_t{0};
    for (const Item& item : set->paradigms[0].items) EXPECT_EQ(item.choices.size(), choices);
    return set->paradigms[0].items.size();
  };
  EXPECT_EQ(count("arc_easy.jsonl", 4), 2376u);
  EXPECT_EQ(count("boolq.jsonl", 2), 3270u);
  EXPECT_EQ(count("hellaswag_val_full.txt.bz2", 4), 10042u);
  EXPECT_EQ(count("lambada_openai.jsonl", 1), 5153u);
  EXPECT_EQ(count("openbook_qa.jsonl", 4), 500u);
  EXPECT_EQ(count("piqa.jsonl", 2), 1838u);
  EXPECT_EQ(count("winogrande.jsonl", 2), 1267u);
}

// BLiMP as it is distributed: counts of evaluation_protocol.md, section 7.
TEST(Blimp, IsReadWhole) {
  EAQ_SHARED_OR_SKIP(folder, "data/blimp");
  EAQ_ASSERT_OK_AND_ASSIGN(const ItemSet blimp, LoadPairs(folder));
  EXPECT_EQ(blimp.paradigms.size(), 67u);
  std::map<std::string, int> phenomena;
  int same = 0;
  for (const Paradigm& paradigm : blimp.paradigms) {
    EXPECT_EQ(paradigm.items.size(), 1000u) << paradigm.id;
    ++phenomena[paradigm.phenomenon];
    for (const Item& pair : paradigm.items) same += pair.choices[0].text == pair.choices[1].text;
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
