#include "eaq/quant/packed_file.h"

#include <cstdlib>

#include "eaq/base/file.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/checkpoint/safetensors_writer.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/size_account.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string TempPath(const std::string& name) { return JoinPath(::testing::TempDir(), name); }

PackedMatrix Packed(int64_t rows, int64_t cols, int bits, GridKind kind, int64_t group, bool index = false) {
  Rng rng(rows * cols, "test/weights");
  Matrix w(rows, cols);
  for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(0.05 * rng.Normal());
  GridSpec spec;
  spec.bits = bits;
  spec.kind = kind;
  spec.granularity = group > 0 ? Granularity::kGroup : Granularity::kChannel;
  spec.group_size = group;
  auto q = QuantizeNearest(w.view(), spec);
  EXPECT_THAT(q, IsOk());
  if (index) {
    for (int64_t c = 0; c < cols; ++c) q->group_of_column.push_back((c * 5 + 1) % q->groups_per_row());
  }
  auto p = Pack(*q);
  EXPECT_THAT(p, IsOk());
  return *p;
}

PackedModel Example() {
  PackedModel model;
  model.linears["L0.q"] = Packed(64, 48, 4, GridKind::kAsymmetric, 0);
  model.linears["L0.router"] = Packed(7, 33, 8, GridKind::kSymmetricRestricted, 0);
  model.linears["L0.e3.down"] = Packed(48, 96, 3, GridKind::kAsymmetric, 32);
  model.linears["L1.e0.up"] = Packed(5, 50, 2, GridKind::kSymmetricFullRange, 16, true);
  model.metadata["recipe"] = "gptq";
  return model;
}

TEST(PackedFileTest, ReadsBackWhatWasWritten) {
  const std::string path = TempPath("packed.safetensors");
  const PackedModel model = Example();
  EAQ_ASSERT_OK(WritePackedModel(path, model));
  EAQ_ASSERT_OK_AND_ASSIGN(const PackedModel back, ReadPackedModel(path));
  EXPECT_EQ(back, model);
  // The same bytes when written again.
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string first, ReadFile(path));
  EAQ_ASSERT_OK(WritePackedModel(path, back));
  EXPECT_EQ(ReadFile(path).value(), first);
}

TEST(PackedFileTest, TheSizeAccountEqualsTheBytesInTheFile) {
  const std::string path = TempPath("account.safetensors");
  const PackedModel model = Example();
  ModelSize planned, counted;
  for (const auto& [name, p] : model.linears) {
    planned.AddQuantized(PackedSize(p.grid, p.rows, p.cols, !p.group_index.empty()));
    counted.AddQuantized(p.size());
  }
  EAQ_ASSERT_OK(WritePackedModel(path, model));
  EAQ_ASSERT_OK_AND_ASSIGN(const int64_t bytes, TensorBytesInFile(path));
  EXPECT_EQ(bytes, planned.total_bytes());
  EXPECT_EQ(bytes, counted.total_bytes());
  // And with the file itself: 8 bytes of length, the header, the tensors.
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string file, ReadFile(path));
  uint64_t header = 0;
  for (int i = 7; i >= 0; --i) header = header << 8 | static_cast<uint8_t>(file[i]);
  EXPECT_EQ(file.size(), 8 + header + bytes);
}

// Two linears that share a transform of every kind of step, and one with a Hadamard alone.
PackedModel WithTransforms() {
  PackedModel model = Example();
  model.linears["L0.k"] = Packed(32, 48, 4, GridKind::kAsymmetric, 0);
  Matrix swap(4, 4);
  for (int64_t i = 0; i < 4; ++i) swap(i, i ^ 1) = i < 2 ? -1 : 1;
  std::vector<float> divisors(48);
  std::vector<int32_t> order(48);
  for (int i = 0; i < 48; ++i) divisors[i] = 0.1f + i, order[i] = i * 5 % 48;
  const auto shared = std::make_shared<const OnlineTransform>(
      OnlineTransform{{OnlineStep::Divide(divisors), OnlineStep::Rotate(swap), OnlineStep::Permute(order),
                       OnlineStep::Rotate(swap), OnlineStep::Hadamard(12, 4)}});
  model.SetOnline("L0.q", shared);
  model.SetOnline("L0.k", shared);
  model.SetOnline("L0.e3.down", std::make_shared<const OnlineTransform>(OnlineTransform{{OnlineStep::Hadamard(96)}}));
  return model;
}

TEST(PackedFileTest, OnlineTransformsAreStoredOnceAndCounted) {
  const std::string path = TempPath("online.safetensors");
  PackedModel model = WithTransforms();
  EXPECT_EQ(model.transforms.size(), 2);
  EAQ_ASSERT_OK(WritePackedModel(path, model));
  EAQ_ASSERT_OK_AND_ASSIGN(const PackedModel back, ReadPackedModel(path));
  EXPECT_EQ(back, model);
  EXPECT_EQ(back.OnlineOf("L0.q"), back.OnlineOf("L0.k"));
  EXPECT_EQ(back.OnlineOf("L0.router"), nullptr);
  EXPECT_EQ(back.OnlineOf("L0.q")->ToString(), "divide, rotate 4, permute, rotate 4, Hadamard 12 stride 4");
  int64_t bytes = 2 * 48 + 2 * 16 + 2 * 48 + 2 * 16;
  EXPECT_EQ(bytes, model.OnlineOf("L0.q")->StoredBytes());
  for (const auto& [name, p] : model.linears) bytes += p.size().total_bytes();
  EXPECT_THAT(TensorBytesInFile(path), IsOkAndHolds(bytes));
  model.SetOnline("L0.k", nullptr);
  EXPECT_NE(back, model);
}

TEST(PackedFileTest, LongPermutationsHaveWideEntries) {
  const std::string path = TempPath("long.safetensors");
  const int64_t width = 65538;
  PackedModel model;
  model.linears["L0.o"] = Packed(1, width, 2, GridKind::kSymmetricRestricted, 0);
  std::vector<int32_t> order(width);
  for (int64_t i = 0; i < width; ++i) order[i] = static_cast<int32_t>(width - 1 - i);
  model.SetOnline("L0.o", std::make_shared<const OnlineTransform>(OnlineTransform{{OnlineStep::Permute(order)}}));
  EAQ_ASSERT_OK(WritePackedModel(path, model));
  EXPECT_THAT(TensorBytesInFile(path), IsOkAndHolds(model.linears["L0.o"].size().total_bytes() + 4 * width));
  EAQ_ASSERT_OK_AND_ASSIGN(const PackedModel back, ReadPackedModel(path));
  EXPECT_EQ(back, model);
}

TEST(PackedFileTest, RejectsBadTransforms) {
  const std::string path = TempPath("bad_online.safetensors");
  const auto with = [](OnlineTransform online) {
    PackedModel model = Example();
    model.SetOnline("L0.q", std::make_shared<const OnlineTransform>(std::move(online)));
    return model;
  };
  OnlineStep third = OnlineStep::Divide(std::vector<float>(48, 1.0f));
  third.divisors[7] = 1.0f / 3;
  EXPECT_THAT(WritePackedModel(path, with({{third}})), StatusIs(kInvalid, HasSubstr("not a float16")));
  EXPECT_THAT(WritePackedModel(path, with({})), StatusIs(kInvalid, HasSubstr("without steps")));
  EXPECT_THAT(WritePackedModel(path, with({{OnlineStep::Hadamard(32)}})),
              StatusIs(kInvalid, HasSubstr("linear L0.q: online transform, step 1: no Hadamard blocks of 32")));
  PackedModel nobody = WithTransforms();
  nobody.transform_of.erase("L0.e3.down");
  EXPECT_THAT(WritePackedModel(path, nobody), StatusIs(kInvalid, HasSubstr("only 1 belong to a linear")));
  nobody = WithTransforms();
  nobody.transform_of["L9.q"] = 0;
  EXPECT_THAT(WritePackedModel(path, nobody), StatusIs(kInvalid, HasSubstr("L9.q, which is not there")));

  // One linear of 3 columns (U8 codes, no zeros) with what the metadata and BYTES of one tensor say.
  struct Bad {
    const char* description;
    const char* of;
    const char* tensor;
    DType dtype;
    std::string bytes;
    const char* message;
  };
  const std::string ones("\0\x3c\0\x3c\0\x3c", 6), order("\2\0\0\0\1\0", 6);
  const std::string format = "packed-weights-2";
  const auto write = [&](const Bad& bad, const std::string& version) {
    SafetensorsWriter writer;
    writer.SetMetadata("eaq.format", version);
    writer.SetMetadata("eaq.linear.L0.q", "8 symmetric_restricted channel 0 2 3");
    writer.SetMetadata("eaq.online.0", bad.description);
    writer.SetMetadata("eaq.online_of.L0.q", bad.of);
    EXPECT_THAT(writer.AddBytes("L0.q.codes", DType::kU8, {6}, "xxxxxx"), IsOk());
    EXPECT_THAT(writer.Add("L0.q.scales", DType::kF16, {2}, {1.0f, 2.0f}), IsOk());
    const int64_t size = bad.dtype == DType::kU8 ? 1 : bad.dtype == DType::kU32 ? 4 : 2;
    const int64_t count = static_cast<int64_t>(bad.bytes.size()) / size;
    EXPECT_THAT(writer.AddBytes(bad.tensor, bad.dtype, {count}, bad.bytes), IsOk());
    EXPECT_THAT(writer.Write(path), IsOk());
  };
  for (const Bad& good : {Bad{"divide", "0", "online.0.0.divisors", DType::kF16, ones, ""},
                          Bad{"permute", "0", "online.0.0.permutation", DType::kU16, order, ""}}) {
    write(good, format);
    EXPECT_THAT(ReadPackedModel(path), IsOk());
    write(good, "packed-weights-1");  // a reader of version 1 must not pass over them
    EXPECT_THAT(ReadPackedModel(path), StatusIs(kInvalid, HasSubstr("3 tensors, of which only 2")));
    write(good, "packed-weights-5");
    EXPECT_THAT(ReadPackedModel(path), StatusIs(kInvalid, HasSubstr("'packed-weights-5'")));
  }
  const std::string zero("\0\x3c\0\0\0\x3c", 6), infinite("\0\x3c\0\x7c\0\x3c", 6), twice("\2\0\2\0\1\0", 6);
  for (const Bad& bad : {
           Bad{"", "0", "online.0.0.divisors", DType::kF16, ones, "expected 'divide'"},
           Bad{"spin", "0", "online.0.0.divisors", DType::kF16, ones, "'spin'; expected"},
           Bad{"divide 3", "0", "online.0.0.divisors", DType::kF16, ones, "'divide 3'; expected"},
           Bad{"divide, ", "0", "online.0.0.divisors", DType::kF16, ones, "step 2: ''"},
           Bad{"divide", "0", "online.0.1.divisors", DType::kF16, ones, "divisors' is missing"},
           Bad{"divide", "0", "online.0.0.divisors", DType::kI16, ones, "expected F16, found I16"},
           Bad{"divide", "0", "online.0.0.divisors", DType::kF16, ones + ones, "6 divisors; expected 3"},
           Bad{"divide", "0", "online.0.0.divisors", DType::kF16, zero, "the divisor 0"},
           Bad{"divide", "0", "online.0.0.divisors", DType::kF16, infinite, "the divisor inf"},
           Bad{"divide", "1", "online.0.0.divisors", DType::kF16, ones, "names online transform 1; there are 1"},
           Bad{"divide", "-1", "online.0.0.divisors", DType::kF16, ones, "names online transform -1"},
           Bad{"divide", "first", "online.0.0.divisors", DType::kF16, ones, "'first'; expected its index"},
           Bad{"permute", "0", "online.0.0.permutation", DType::kU16, twice, "not a permutation"},
           Bad{"permute", "0", "online.0.0.permutation", DType::kU32, order + order, "entries of 32 bits"},
           Bad{"permute", "0", "online.0.0.permutation", DType::kU8, order, "expected U16, found U8"},
           Bad{"rotate 2", "0", "online.0.0.rotation", DType::kF16, ones, "6 bytes; expected 2 * 2^2"},
           Bad{"rotate 4000000000", "0", "online.0.0.rotation", DType::kF16, ones, "expected 2 * 4000000000^2"},
           Bad{"rotate 1", "0", "online.0.0.rotation", DType::kF16, zero.substr(2, 2), "nearly orthogonal"},
           Bad{"hadamard 4 1", "0", "online.0.0.x", DType::kF16, ones, "no Hadamard blocks of 4"},
           Bad{"hadamard 1 9223372036854775807", "0", "online.0.0.x", DType::kF16, ones, "stride"},
           Bad{"hadamard 1 1", "0", "online.0.0.x", DType::kF16, ones, "3 tensors, of which only 2"},
       }) {
    write(bad, format);
    EXPECT_THAT(ReadPackedModel(path), StatusIs(kInvalid, HasSubstr(bad.message))) << bad.description;
  }
}

RowCache Cached(const PackedMatrix& p, std::vector<int32_t> rows, bool pool, std::vector<int> bits) {
  Matrix w(p.rows, p.cols);
  UnpackWeights(p, w.view());
  RowCache cache = *MakeRowCache(w.const_view(), std::move(rows), p.grid, pool);
  cache.bits_of_set = std::move(bits);
  return cache;
}

TEST(PackedFileTest, CachedRowsAreStoredSwitchedAndCounted) {
  const std::string path = TempPath("cached.safetensors");
  PackedModel model = WithTransforms();
  model.sets = {"prose", "source code"};
  model.caches["L0.e3.down"] = Cached(model.linears["L0.e3.down"], {0, 40}, true, {8, kAsRounded});
  model.caches["L0.q"] = Cached(model.linears["L0.q"], {63}, false, {kFloat16, kFloat16});
  model.caches["L0.q"].bits = kFloat16;
  int64_t bytes = model.OnlineOf("L0.q")->StoredBytes();
  for (const auto& [name, p] : model.linears) bytes += p.size().total_bytes();
  for (const auto& [name, cache] : model.caches) bytes += RowCacheBytes(cache);
  for (const char* set : {"", "prose", "source code"}) {
    EAQ_ASSERT_OK(model.SwitchTo(set));
    EXPECT_EQ(model.caches["L0.e3.down"].bits, std::string(set) == "prose" ? 8 : kAsRounded);
    EXPECT_EQ(model.caches["L0.q"].bits, kFloat16);  // without a pool nothing moves
    EAQ_ASSERT_OK(WritePackedModel(path, model));
    EXPECT_THAT(TensorBytesInFile(path), IsOkAndHolds(bytes));
    EAQ_ASSERT_OK_AND_ASSIGN(PackedModel back, ReadPackedModel(path));
    EXPECT_EQ(back, model) << set;
    EAQ_ASSERT_OK(back.SwitchTo("prose"));
    EXPECT_EQ(back == model, std::string(set) == "prose");
  }
  EXPECT_THAT(model.SwitchTo("poems"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("'prose', 'source code'")));

  PackedModel bad = model;
  bad.sets.pop_back();
  EXPECT_THAT(WritePackedModel(path, bad), StatusIs(kInvalid, HasSubstr("widths for 2 data sets; expected 1")));
  bad = model;
  bad.caches["L9.q"] = bad.caches["L0.q"];
  EXPECT_THAT(WritePackedModel(path, bad), StatusIs(kInvalid, HasSubstr("L9.q, which is not there")));
  bad = model;
  bad.caches["L0.router"] = bad.caches["L0.q"];
  EXPECT_THAT(WritePackedModel(path, bad), StatusIs(kInvalid, HasSubstr("its cached rows are of [64, 48]")));
}

TEST(PackedFileTest, RejectsBadCaches) {
  const std::string path = TempPath("bad_cache.safetensors");
  const std::string one("\1\0", 2), wide("\1\0\0\0", 4), halves("\0\x3c\0\x3c\0\x3c", 6), none(1 * (3 + 2), '\0');
  const auto write = [&](const std::string& text, const std::string& rows, DType dtype, const std::string& values,
                         const std::string& pool) {
    SafetensorsWriter writer;
    writer.SetMetadata("eaq.format", "packed-weights-3");
    writer.SetMetadata("eaq.linear.L0.q", "8 symmetric_restricted channel 0 2 3");
    writer.SetMetadata("eaq.set.0", "prose");
    writer.SetMetadata("eaq.cache.L0.q", text);
    EXPECT_THAT(writer.AddBytes("L0.q.codes", DType::kU8, {6}, "xxxxxx"), IsOk());
    EXPECT_THAT(writer.Add("L0.q.scales", DType::kF16, {2}, {1.0f, 2.0f}), IsOk());
    const int64_t numbers = static_cast<int64_t>(rows.size()) / (dtype == DType::kU32 ? 4 : 2);
    EXPECT_THAT(writer.AddBytes("L0.q.cache_rows", dtype, {numbers}, rows), IsOk());
    const int64_t size = values.size() / 2, room = pool.size();
    EXPECT_THAT(writer.AddBytes("L0.q.cache", DType::kF16, {size}, values), IsOk());
    if (room > 0) {
      EXPECT_THAT(writer.AddBytes("L0.q.patches", DType::kU8, {room}, pool), IsOk());
    }
    EXPECT_THAT(writer.Write(path), IsOk());
    return ReadPackedModel(path).status();
  };
  EXPECT_THAT(write("0 1 8", one, DType::kU16, halves, none), IsOk());
  EXPECT_THAT(write("16 0 16", one, DType::kU16, halves, ""), IsOk());
  for (const char* text : {"", "0", "0 2 8", "0 one 8"}) {
    EXPECT_THAT(write(text, one, DType::kU16, halves, none), StatusIs(kInvalid, HasSubstr("expected 'bits pool")))
        << text;
  }
  EXPECT_THAT(write("0 1 8 8", one, DType::kU16, halves, none), StatusIs(kInvalid, HasSubstr("for 2 data sets")));
  EXPECT_THAT(write("0 1 9", one, DType::kU16, halves, none), StatusIs(kInvalid, HasSubstr("at 9 bits")));
  EXPECT_THAT(write("0 0 8", one, DType::kU16, halves, ""), StatusIs(kInvalid, HasSubstr("without a pool")));
  EXPECT_THAT(write("0 1 8", wide, DType::kU32, halves, none),
              StatusIs(kInvalid, HasSubstr("expected U16, found U32")));
  EXPECT_THAT(write("0 1 8", std::string("\2\0", 2), DType::kU16, halves, none),
              StatusIs(kInvalid, HasSubstr("cached row 2 after -1 of 2")));
  EXPECT_THAT(write("0 1 8", one, DType::kU16, halves.substr(2), none), StatusIs(kInvalid, HasSubstr("2 numbers")));
  EXPECT_THAT(write("0 1 8", one, DType::kU16, std::string("\0\x7c", 2) + halves.substr(2), none),
              StatusIs(kInvalid, HasSubstr("not finite")));
  EXPECT_THAT(write("8 1 8", one, DType::kU16, halves, none), StatusIs(kInvalid, HasSubstr("at 8 bits; expected 5")));
  EXPECT_THAT(write("0 1 8", one, DType::kU16, halves, ""), StatusIs(kInvalid, HasSubstr("patches' is missing")));
}

// Codes of 6 bits lie in planes since version 3; a file of version 1 has them as one stream.
TEST(PackedFileTest, SixBitsOfOldFilesAreRead) {
  const std::string path = TempPath("six.safetensors");
  const std::vector<uint8_t> codes = {0x3f, 0x01, 0x20, 0x15, 0x2a};
  std::string stream(4, '\0');  // 30 bits
  for (int i = 0; i < 30; ++i) stream[i / 8] |= static_cast<char>((codes[i / 6] >> i % 6 & 1) << i % 8);
  SafetensorsWriter writer;
  writer.SetMetadata("eaq.format", "packed-weights-1");
  writer.SetMetadata("eaq.linear.L0.q", "6 symmetric_restricted channel 0 1 5");
  EXPECT_THAT(writer.AddBytes("L0.q.codes", DType::kU8, {1, 4}, stream), IsOk());
  EXPECT_THAT(writer.Add("L0.q.scales", DType::kF16, {1}, {1.0f}), IsOk());
  EAQ_ASSERT_OK(writer.Write(path));
  EAQ_ASSERT_OK_AND_ASSIGN(const PackedModel model, ReadPackedModel(path));
  EAQ_ASSERT_OK_AND_ASSIGN(const QuantizedMatrix q, Unpack(model.linears.at("L0.q")));
  EXPECT_EQ(q.codes, codes);
  EAQ_ASSERT_OK(WritePackedModel(path, model));  // as version 3
  EXPECT_THAT(TensorBytesInFile(path), IsOkAndHolds(3 + 2 + 2));
  EXPECT_THAT(ReadPackedModel(path), IsOkAndHolds(model));
}

TEST(PackedFileTest, RejectsBadFiles) {
  const std::string path = TempPath("bad.safetensors");
  PackedModel model = Example();
  model.metadata["eaq.format"] = "mine";
  EXPECT_THAT(WritePackedModel(path, model), StatusIs(kInvalid, HasSubstr("eaq.format")));
  model = Example();
  model.linears["L0.q"].codes.pop_back();
  EXPECT_THAT(WritePackedModel(path, model), StatusIs(kInvalid, HasSubstr("linear L0.q")));
  EXPECT_THAT(ReadPackedModel(TempPath("absent")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent")));

  // `codes` of `bytes` bytes under a description.
  const auto write = [&](const std::string& description, int64_t bytes, DType dtype, const std::string& extra = "") {
    SafetensorsWriter writer;
    writer.SetMetadata("eaq.format", "packed-weights-1");
    writer.SetMetadata("eaq.linear.L0.q", description);
    EXPECT_THAT(writer.AddBytes("L0.q.codes", dtype, {bytes}, std::string(bytes, 'x')), IsOk());
    EXPECT_THAT(writer.Add("L0.q.scales", DType::kF16, {2}, {1.0f, 2.0f}), IsOk());
    if (!extra.empty()) {
      EXPECT_THAT(writer.AddBytes(extra, DType::kU8, {1}, "a"), IsOk());
    }
    EXPECT_THAT(writer.Write(path), IsOk());
  };
  write("8 symmetric_restricted channel 0 2 3", 6, DType::kU8);
  EXPECT_THAT(ReadPackedModel(path), IsOk());
  write("8 symmetric_restricted channel 0 2 3", 5, DType::kU8);
  EXPECT_THAT(ReadPackedModel(path), StatusIs(kInvalid, HasSubstr("codes: expected 6 bytes, found 5")));
  write("8 symmetric_restricted channel 0 2 3", 6, DType::kI8);
  EXPECT_THAT(ReadPackedModel(path), StatusIs(kInvalid, HasSubstr("expected U8, found I8")));
  write("8 asymmetric channel 0 2 3", 6, DType::kU8);
  EXPECT_THAT(ReadPackedModel(path), StatusIs(kInvalid, HasSubstr("zeros")));
  write("8 symmetric_restricted channel 0 2 3", 6, DType::kU8, "L9.q.codes");
  EXPECT_THAT(ReadPackedModel(path), StatusIs(kInvalid, HasSubstr("3 tensors, of which only 2")));
  for (const char* text : {"", "8 odd channel 0 2 3", "9 asymmetric channel 0 2 3", "8 asymmetric group 0 2 3",
                           "8 asymmetric channel 0 -2 3", "8 asymmetric channel 0 999999999999 999999999999"}) {
    write(text, 6, DType::kU8);
    EXPECT_THAT(ReadPackedModel(path), StatusIs(kInvalid, HasSubstr("linear L0.q"))) << text;
  }
  SafetensorsWriter plain;
  EAQ_ASSERT_OK(plain.Write(path));
  EXPECT_THAT(ReadPackedModel(path), StatusIs(kInvalid, HasSubstr("not a file of packed weights")));
}

TEST(PackedFileTest, BinaryGridsWidthsOfGroupsAndRoutingMakeVersionFour) {
  const std::string path = TempPath("version4.safetensors");
  PackedModel binary;
  binary.linears["L0.q"] = Packed(6, 40, 1, GridKind::kBinary, 16);
  PackedModel mixed;
  Matrix w(3, 40);
  for (int64_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(i % 7) - 3.1f;
  const std::vector<uint8_t> widths = {1, 2, 3};
  GridSpec grid;
  grid.bits = 2;
  grid.granularity = Granularity::kGroup;
  grid.group_size = 16;
  mixed.linears["L1.e0.up"] = Pack(*QuantizeNearest(w.const_view(), grid, nullptr, widths)).value();
  PackedModel routed = Example();
  routed.routing[0] = {.kept = {0, 2, 3}};
  routed.routing[1] = {.drop = ExpertDrop{.ratio = 0.1f, .protect = 0.02f}};
  routed.routing[3] = {.kept = {1, 2}, .drop = ExpertDrop{.ratio = 1.0f / 3}};
  for (const PackedModel& model : {binary, mixed, routed}) {
    EAQ_ASSERT_OK(WritePackedModel(path, model));
    EAQ_ASSERT_OK_AND_ASSIGN(const PackedModel back, ReadPackedModel(path));
    EXPECT_EQ(back, model);
    EXPECT_THAT(ReadFile(path).value(), HasSubstr("packed-weights-4"));
    int64_t bytes = 0;
    for (const auto& [name, p] : model.linears) bytes += p.size().total_bytes();
    EXPECT_THAT(TensorBytesInFile(path), IsOkAndHolds(bytes));
  }
}

TEST(PackedFileTest, RoutingThatIsNoneIsRefused) {
  for (const std::string text :
       {"", "keep", "keep 1 x", "drop 0.5", "drop 0.5 0.1 0.2", "drop 0.5 0.1; keep 1", "hold 3"}) {
    SafetensorsWriter writer;
    writer.SetMetadata("eaq.format", "packed-weights-4");
    writer.SetMetadata("eaq.routing.2", text);
    const std::string path = TempPath("routing.safetensors");
    EAQ_ASSERT_OK(writer.Write(path));
    EXPECT_THAT(ReadPackedModel(path), StatusIs(kInvalid, HasSubstr("layer 2: routing '" + text + "'"))) << text;
  }
}

}  // namespace
}  // namespace eaq
