#include "eaq/device/rows_image.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/tensor/hadamard.h"

namespace eaq {
namespace {

using kernels::cuda::RowTransform;

// The part of a Hadamard matrix of order BLOCK that is no power of two: its order, and its signs (hadamard.h: the
// smallest such order that exists; unit vectors give its rows).
std::pair<int64_t, std::vector<int8_t>> CoreOf(int64_t block) {
  int64_t order = block;
  while (order % 2 == 0) order /= 2;
  if (order == 1) return {1, {}};
  do order *= 2;
  while (order < block && !HadamardExists(order));
  std::vector<int8_t> signs;
  std::vector<float> row(order);
  for (int64_t i = 0; i < order; ++i) {
    std::fill(row.begin(), row.end(), 0.0f);
    row[i] = 1;
    HadamardTransform(absl::MakeSpan(row));
    for (const float value : row) signs.push_back(value > 0 ? 1 : -1);
  }
  return {order, std::move(signs)};
}

}  // namespace

bool SameRows(const RowsImage& a, const RowsImage& b) {
  return a.steps == b.steps && a.by_expert == b.by_expert && a.divisors == b.divisors && a.form == b.form &&
         a.terms == b.terms && a.rounds == b.rounds && SameRounding(a.input, b.input) &&
         a.input.quantizer.pack4 == b.input.quantizer.pack4 &&
         a.input.quantizer.sums_of_brick == b.input.quantizer.sums_of_brick;
}

absl::StatusOr<const RowsWriter::Written*> RowsWriter::Find(std::vector<const OnlineTransform*> transforms,
                                                            const LinearId& id) {
  for (const Written& old : written_) {
    if (std::equal(old.transforms.begin(), old.transforms.end(), transforms.begin(), transforms.end(),
                   [](const OnlineTransform* a, const OnlineTransform* b) { return a == b || *a == *b; })) {
      return &old;
    }
  }
  EAQ_ASSIGN_OR_RETURN(Written made, Write(std::move(transforms), id));
  return &written_.emplace_back(std::move(made));
}

absl::StatusOr<RowsWriter::Written> RowsWriter::Write(std::vector<const OnlineTransform*> transforms,
                                                      const LinearId& id) {
  Written made;
  made.transforms = std::move(transforms);
  // A table of all transforms' numbers at step S.
  const auto table = [&](size_t s, const auto& numbers) {
    auto all = numbers(made.transforms[0]->steps[s]);
    for (size_t e = 1; e < made.transforms.size(); ++e) {
      const auto more = numbers(made.transforms[e]->steps[s]);
      all.insert(all.end(), more.begin(), more.end());
    }
    return builder_.Put(all);
  };
  const std::vector<OnlineStep>& steps = made.transforms[0]->steps;
  for (size_t s = 0; s < steps.size(); ++s) {
    const OnlineStep& step = steps[s];
    StepImage image;
    image.divisors = made.divisors;
    if (step.kind == OnlineStep::Kind::kDivide) {
      if (made.divisors >= 0) made.steps.push_back(image);
      made.divisors = table(s, [](const OnlineStep& of) { return of.divisors; });
      continue;
    }
    made.divisors = -1;
    switch (step.kind) {
      case OnlineStep::Kind::kDivide:
        break;
      case OnlineStep::Kind::kRotate:
        image.kind = RowTransform::Kind::kRotate;
        image.block = step.rotation.rows();
        if (image.block > kernels::cuda::kMostRotated) {
          return absl::UnimplementedError(absl::StrCat(id.ToString(), " does not run on a device: rotations of ",
                                                       image.block, " channels at run time; expected at most ",
                                                       kernels::cuda::kMostRotated));
        }
        image.rotation = table(s, [](const OnlineStep& of) {
          return std::vector<float>(of.rotation.values().begin(), of.rotation.values().end());
        });
        break;
      case OnlineStep::Kind::kPermute:
        image.kind = RowTransform::Kind::kPermute;
        image.permutation = table(s, [](const OnlineStep& of) { return of.permutation; });
        break;
      case OnlineStep::Kind::kHadamard: {
        image.kind = RowTransform::Kind::kHadamard;
        image.block = step.block;
        image.stride = step.stride;
        if (step.block * step.stride > kernels::cuda::kMostTransformed) {
          return absl::UnimplementedError(
              absl::StrCat(id.ToString(), " does not run on a device: a Hadamard matrix over ", step.block, " times ",
                           step.stride, " channels at run time; expected at most ", kernels::cuda::kMostTransformed));
        }
        const auto [order, signs] = CoreOf(step.block);
        image.core_order = order;
        if (order > 1) image.core = builder_.Put(signs);
        break;
      }
    }
    made.steps.push_back(image);
  }
  return made;
}

absl::StatusOr<StepImage> RowsWriter::Step(const OnlineTransform& transform, const LinearId& id) {
  EAQ_ASSIGN_OR_RETURN(const Written made, Write({&transform}, id));
  return made.steps[0];
}

absl::StatusOr<RowsImage> RowsWriter::Put(const ProductFormat& format, absl::Span<const DeviceLinear> linears) {
  RowsImage rows;
  rows.by_expert = format.by_expert;
  rows.input = format.input;
  rows.form = format.integer                                 ? RowsImage::Form::kCodes
              : format.kind == ProductFormat::Kind::kFloat32 ? RowsImage::Form::kFloat32
                                                             : RowsImage::Form::kBf16;
  rows.rounds = !format.integer && format.input.bits < 16;
  // What has been rounded to a grid keeps both terms: one would not hold its integers.
  if (rows.form == RowsImage::Form::kBf16) rows.terms = rows.rounds ? std::max(2, row_terms_) : row_terms_;
  if (format.input.online != nullptr) {
    std::vector<const OnlineTransform*> transforms = {format.input.online};
    if (format.by_expert) {
      transforms.clear();
      for (const DeviceLinear& linear : linears) transforms.push_back(linear.input.online);
    }
    EAQ_ASSIGN_OR_RETURN(const Written* written, Find(std::move(transforms), linears[0].id));
    rows.steps = written->steps;
    rows.divisors = written->divisors;
  }
  // Rows that stay float32 are changed in a copy; a division of an expert's own belongs to a step.
  const bool copies = rows.rounds || rows.form == RowsImage::Form::kFloat32 || rows.by_expert;
  if (copies && (rows.divisors >= 0 || (rows.rounds && rows.steps.empty()))) {
    StepImage copy;
    copy.divisors = rows.divisors;
    rows.steps.push_back(copy);
    rows.divisors = -1;
  }
  rows.input.online = nullptr;
  return rows;
}

}  // namespace eaq
