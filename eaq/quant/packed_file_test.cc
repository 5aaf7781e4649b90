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

}  // namespace
}  // namespace eaq
