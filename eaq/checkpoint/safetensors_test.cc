#include "eaq/checkpoint/safetensors.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/base/status_matchers.h"
#include "eaq/base/test_shared.h"
#include "eaq/checkpoint/safetensors_writer.h"
#include "eaq/checkpoint/shards.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

std::string File(const std::string& header, const std::string& data) {
  std::string file(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  return file + header + data;
}

std::string Entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return absl::StrCat("{\"dtype\":\"", dtype, "\",\"shape\":", shape, ",\"data_offsets\":", offsets, "}");
}

struct Malformed {
  const char* what;
  std::string file;
  const char* message;  // must occur in the error
};

// Every line of the reject list of specs/architectures.md 6.2.
std::vector<Malformed> Corpus() {
  const std::string eight(8, 'x');
  const std::string w = Entry("F32", "[2]", "[0,8]");
  return {
      {"empty", "", "shorter than"},
      {"seven bytes", "1234567", "shorter than"},
      {"length 0", File("", ""), "length is 0"},
      {"length over the limit", std::string("\xff\xff\xff\xff\xff\xff\xff\x7f") + "{}", "limit"},
      {"length past the end", std::string("\x20\0\0\0\0\0\0\0", 8) + "{}", "past the end"},
      {"overlong UTF-8", File("{\"\xc0\xaf\":1}", ""), "JSON"},
      {"surrogate in UTF-8", File("{\"\xed\xa0\x80\":1}", ""), "JSON"},
      {"not JSON", File("{'a':1}", ""), "JSON"},
      {"text after", File("{} {}", ""), "JSON"},
      {"array", File("[]", ""), "start with"},
      {"leading space", File(" {}", ""), "start with"},
      {"bomb", File("{\"a\":" + std::string(50000, '['), ""), "nested"},
      {"metadata not an object", File("{\"__metadata__\":[]}", ""), "not an object"},
      {"metadata value", File("{\"__metadata__\":{\"a\":1}}", ""), "not a string"},
      {"entry a number", File("{\"w\":1}", ""), "not an object"},
      {"no shape", File("{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", eight), "\"shape\" is missing"},
      {"dtype a number", File("{\"w\":{\"dtype\":1,\"shape\":[2],\"data_offsets\":[0,8]}}", eight), "not a string"},
      {"unknown dtype", File("{\"w\":" + Entry("F99", "[2]", "[0,8]") + "}", eight), "unknown dtype"},
      {"exponent form", File("{\"w\":" + Entry("F32", "[2e0]", "[0,8]") + "}", eight), "not an integer"},
      {"negative", File("{\"w\":" + Entry("F32", "[-2]", "[0,8]") + "}", eight), "not an integer"},
      {"2^63", File("{\"w\":" + Entry("F32", "[9223372036854775808]", "[0,8]") + "}", eight), "not an integer"},
      {"three offsets", File("{\"w\":" + Entry("F32", "[2]", "[0,8,8]") + "}", eight), "two numbers"},
      {"end first", File("{\"w\":" + Entry("F32", "[2]", "[8,0]") + "}", eight), "before it begins"},
      {"overflow", File("{\"w\":" + Entry("F32", "[4294967296,4294967296]", "[0,8]") + "}", eight), "overflow"},
      {"overflow before 0", File("{\"w\":" + Entry("F32", "[4294967296,4294967296,0]", "[0,0]") + "}", ""), "overflow"},
      {"bits overflow", File("{\"w\":" + Entry("F64", "[4611686018427387904]", "[0,0]") + "}", ""), "overflow"},
      {"half a byte", File("{\"w\":" + Entry("F4", "[3]", "[0,1]") + "}", "x"), "whole number of bytes"},
      {"size", File("{\"w\":" + Entry("F32", "[3]", "[0,8]") + "}", eight), "takes 12 bytes"},
      {"overlap", File("{\"v\":" + w + ",\"w\":" + w + "}", eight), "overlaps"},
      {"hole", File("{\"w\":" + Entry("F32", "[1]", "[4,8]") + "}", eight), "hole"},
      {"truncated", File("{\"w\":" + w + "}", "1234"), "truncated"},
      {"trailing", File("{\"w\":" + w + "}", eight + "1"), "after the last"},
      {"name twice", File("{\"w\":" + w + ",\"w\":" + w + "}", eight), "twice"},
      {"key twice", File("{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", eight),
       "twice"},
      {"rank 9", File("{\"w\":" + Entry("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]") + "}", eight), "rank 9"},
      {"long name", File("{\"" + std::string(2000, 'n') + "\":" + w + "}", eight), "name has"},
  };
}

TEST(ParseSafetensors, RefusesTheWholeRejectList) {
  for (const Malformed& bad : Corpus())
    EXPECT_THAT(ParseSafetensors(bad.file), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.message)))
        << bad.what;
}

TEST(ParseSafetensors, EveryPrefixOfAGoodFileIsRefused) {
  SafetensorsWriter writer;
  EAQ_ASSERT_OK(writer.Add("w", DType::kF32, {2}, {1.0f, 2.0f}));
  const std::string good = writer.Serialize();
  EAQ_EXPECT_OK(ParseSafetensors(good));
  for (size_t n = 0; n < good.size(); ++n) EXPECT_FALSE(ParseSafetensors(good.substr(0, n)).ok()) << n;
}

TEST(ParseSafetensors, MutatedFilesAreRefusedOrConsistent) {
  SafetensorsWriter writer;
  EAQ_ASSERT_OK(writer.Add("w", DType::kF32, {2, 3}, std::vector<float>(6, 1.0f)));
  EAQ_ASSERT_OK(writer.Add("b", DType::kBF16, {4}, std::vector<float>(4, 1.0f)));
  writer.SetMetadata("k", "v");
  const std::string good = writer.Serialize();
  for (size_t at = 0; at < good.size(); ++at)
    for (const char byte : {'\0', '"', '{', '}', ']', ',', '0', '9', '-', '.', 'e', '\xff'}) {
      std::string file = good;
      file[at] = byte;
      const auto header = ParseSafetensors(file);
      if (!header.ok()) continue;
      for (const auto& [name, info] : header->tensors) {
        ASSERT_LE(header->data_begin + info.end, file.size());
        ASSERT_EQ(info.end - info.begin, info.elements() * DTypeBits(info.dtype) / 8);
      }
    }
}

TEST(ParseSafetensors, AcceptsWhatTheFormatAllows) {
  EAQ_ASSERT_OK_AND_ASSIGN(SafetensorsHeader empty, ParseSafetensors(File("{}   ", "")));
  EXPECT_TRUE(empty.tensors.empty());
  EAQ_ASSERT_OK_AND_ASSIGN(
      SafetensorsHeader header,
      ParseSafetensors(File("{\"z\":" + Entry("U8", "[1]", "[4,5]") + ",\"\\u0061\":" + Entry("F32", "[]", "[0,4]") +
                                ",\"e1\":" + Entry("F32", "[0,7]", "[4,4]") +
                                ",\"e2\":" + Entry("F32", "[0]", "[4,4]") +
                                ",\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[5,6],\"extra\":[null]}}",
                            "123456")));
  EXPECT_EQ(header.tensors.at("a").elements(), 1);
  EXPECT_EQ(header.tensors.at("e1").elements(), 0);
  EXPECT_EQ(header.tensors.size(), 5);
}

TEST(SafetensorsWriter, RoundTripsThroughTheReader) {
  const float inf = std::numeric_limits<float>::infinity();
  SafetensorsWriter writer;
  EAQ_ASSERT_OK(writer.Add("b", DType::kBF16, {2, 2}, {1.0f, -2.5f, inf, 1.00390625f}));  // the last is a tie: 1.0
  EAQ_ASSERT_OK(writer.Add("a\"\n", DType::kF32, {1}, {0.1f}));
  EAQ_ASSERT_OK(writer.Add("h", DType::kF16, {}, {0.5f}));
  EAQ_ASSERT_OK(writer.AddBytes("odd", DType::kU8, {3}, "abc"));
  writer.SetMetadata("format", "pt");
  EXPECT_THAT(writer.Add("b", DType::kF32, {1}, {1.0f}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("taken")));
  EXPECT_FALSE(writer.Add("c", DType::kF32, {2}, {1.0f}).ok());
  EXPECT_FALSE(writer.Add("c", DType::kU8, {1}, {1.0f}).ok());

  const std::string path = JoinPath(::testing::TempDir(), "round.safetensors");
  EAQ_ASSERT_OK(writer.Write(path));
  EAQ_ASSERT_OK_AND_ASSIGN(const auto file, SafetensorsFile::Open(path));
  EXPECT_EQ(file->metadata().at("format"), "pt");
  std::vector<float> values(4);
  EAQ_ASSERT_OK(BytesToFloats(DType::kBF16, file->Bytes(*file->Find("b")), absl::MakeSpan(values)));
  EXPECT_EQ(values, (std::vector<float>{1.0f, -2.5f, inf, 1.0f}));
  EXPECT_EQ(file->Bytes(*file->Find("odd")), "abc");
  EXPECT_EQ(file->Find("a\"\n")->begin, 0) << "the widest type comes first";
  EXPECT_EQ(file->Find("nothing"), nullptr);
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(path));
  EXPECT_EQ(bytes, writer.Serialize());
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0);
}

TEST(SafetensorsFile, ErrorsNameTheFile) {
  const std::string path = JoinPath(::testing::TempDir(), "bad.safetensors");
  EAQ_ASSERT_OK(WriteFileAtomic(path, "1234567"));
  EXPECT_THAT(SafetensorsFile::Open(path).status().message(), HasSubstr(path));
  EXPECT_FALSE(SafetensorsFile::Open(path + ".missing").ok());
}

// The team's malformed files; folders are checked by model_source_test.
TEST(Golden, EveryFileGetsItsVerdict) {
  EAQ_SHARED_OR_SKIP(table, "golden/malformed/expect.tsv");
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(table));
  int files = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    if (fields.size() != 3 || fields[0].find(".safetensors") == std::string::npos) continue;
    const auto file = SafetensorsFile::Open(JoinPath(Dirname(table), fields[0]));
    EXPECT_EQ(file.ok(), fields[1] == "accept") << line << ": " << file.status();
    if (!file.ok()) {
      EXPECT_THAT(file.status().message(), HasSubstr(fields[0]));
    }
    ++files;
  }
  EXPECT_EQ(files, 38);
}

}  // namespace
}  // namespace eaq
