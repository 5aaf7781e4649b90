#include "eaq/quant/learned_grid.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {

template <typename T>
absl::StatusOr<LearnedGrid<T>> LearnedGrid<T>::Create(int64_t rows, int64_t cols, const GridSpec& spec, bool soft,
                                                      ScaleStorage storage) {
  EAQ_RETURN_IF_ERROR(ValidateRangeGrid(spec, "learned grid"));
  if (rows < 0 || cols < 1) {
    return absl::InvalidArgumentError(absl::StrCat("learned grid of [", rows, ", ", cols, "]; expected columns"));
  }
  return LearnedGrid(rows, cols, spec, soft, storage);
}

template <typename T>
int64_t LearnedGrid<T>::run() const {
  switch (spec_.granularity) {
    case Granularity::kTensor:
      return std::max<int64_t>(1, rows_ * cols_);
    case Granularity::kGroup:
      return spec_.group_size;
    case Granularity::kChannel:
      return cols_;
  }
  return cols_;
}

template <typename T>
typename LearnedGrid<T>::Grid LearnedGrid<T>::Find(const T* w, int64_t begin, int64_t n, T upper, T lower) const {
  Grid g{};
  const T* x = w + begin;
  T low = 0, high = 0;
#pragma omp simd reduction(min : low) reduction(max : high)
  for (int64_t i = 0; i < n; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  g.min = low, g.max = high;
  const T bottom = lower * low, top = upper * high;
  const int max_code = spec_.max_code(), middle = 1 << (spec_.bits - 1);
  if (soft_) {  // the same without rounding
    if (spec_.kind == GridKind::kAsymmetric) {
      g.scale = (top - bottom) / max_code, g.zero = -bottom / g.scale;
    } else if (spec_.kind == GridKind::kSymmetricFullRange) {
      g.scale = (-bottom > top ? 1 : -1) * std::max(-bottom, top) / middle, g.zero = middle;
    } else {
      g.scale = std::max(-bottom, top) / (middle - 1), g.zero = middle;
    }
  } else {
    const GridParams p = ParamsFromRangeUnchecked(spec_, static_cast<float>(bottom), static_cast<float>(top), storage_);
    g.scale = p.scale, g.zero = p.zero;
  }
  if (spec_.kind == GridKind::kAsymmetric) {
    g.d_scale_max = T(1) / max_code, g.d_scale_min = -g.d_scale_max;
  } else {
    const T levels = spec_.kind == GridKind::kSymmetricFullRange ? middle : middle - 1;
    const bool full = spec_.kind == GridKind::kSymmetricFullRange;
    if (-bottom > top) {
      g.d_scale_min = -1 / levels;
    } else {
      g.d_scale_max = (full ? -1 : 1) / levels;
    }
  }
  return g;
}

template <typename T>
void LearnedGrid<T>::Forward(const T* w, const T* v, const T* upper, const T* lower, T* w_hat) const {
  const int64_t step = run(), width = spec_.granularity == Granularity::kTensor ? rows_ * cols_ : cols_;
  const T top = spec_.max_code();
  int64_t grid = 0;
  for (int64_t row = 0; row < rows_ * cols_; row += width) {
    for (int64_t c = 0; c < width; c += step, ++grid) {
      const int64_t begin = row + c, n = std::min(step, width - c);
      const Grid g = Find(w, begin, n, upper[grid], lower[grid]);
      const T s = g.scale, low = -g.zero, high = top - g.zero;
      const T* x = w + begin;
      T* out = w_hat + begin;
      if (soft_) {
        for (int64_t i = 0; i < n; ++i)
          out[i] = s * std::clamp(x[i] / s + (v == nullptr ? T(0) : v[begin + i]), low, high);
      } else if (v == nullptr) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) {
          T q = std::nearbyint(x[i] / s);
          q = q < low ? low : q;
          out[i] = s * (q > high ? high : q);
        }
      } else {
        const T* offset = v + begin;
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) {
          T q = std::nearbyint(x[i] / s + offset[i]);
          q = q < low ? low : q;
          out[i] = s * (q > high ? high : q);
        }
      }
    }
  }
}

template <typename T>
void LearnedGrid<T>::Backward(const T* w, const T* v, const T* upper, const T* lower, const T* gradient,
                              const Gradient& to) const {
  const int64_t step = run(), width = spec_.granularity == Granularity::kTensor ? rows_ * cols_ : cols_;
  const T top = spec_.max_code();
  std::vector<T> none, mask(step);
  if (v == nullptr) none.assign(step, T(0));
  int64_t grid = 0;
  for (int64_t row = 0; row < rows_ * cols_; row += width) {
    for (int64_t c = 0; c < width; c += step, ++grid) {
      const int64_t begin = row + c, n = std::min(step, width - c);
      const Grid r = Find(w, begin, n, upper[grid], lower[grid]);
      const T s = r.scale, low = -r.zero, high = top - r.zero;
      const T *x = w + begin, *g = gradient + begin, *offset = v == nullptr ? none.data() : v + begin;
      T* m = mask.data();
      T ds = 0, gz = 0;
      if (soft_) {
        for (int64_t i = 0; i < n; ++i) {
          const T u = x[i] / s + offset[i], q = std::clamp(u, low, high);
          m[i] = u >= low && u <= high ? 1 : 0;
          ds += g[i] * (q - m[i] * (x[i] / s));
          gz += g[i] * s * (m[i] - 1);
        }
      } else {
#pragma omp simd reduction(+ : ds, gz)
        for (int64_t i = 0; i < n; ++i) {
          const T ratio = x[i] / s, u = std::nearbyint(ratio + offset[i]);
          T q = u < low ? low : u;
          q = q > high ? high : q;
          m[i] = q == u ? T(1) : T(0);
          ds += g[i] * (q - m[i] * ratio);
          gz += g[i] * s * (m[i] - 1);
        }
      }
      if (to.offset != nullptr) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) to.offset[begin + i] = g[i] * s * m[i];
      }
      T d_top, d_bottom;  // of a max and b min
      if (spec_.kind == GridKind::kAsymmetric) {
        const T dst = ds + gz * (r.min * lower[grid]) / (s * s);
        d_top = dst * r.d_scale_max;
        d_bottom = dst * r.d_scale_min - gz / s;
      } else {
        d_top = ds * r.d_scale_max;
        d_bottom = ds * r.d_scale_min;
      }
      if (to.upper != nullptr) to.upper[grid] = d_top * r.max;
      if (to.lower != nullptr) to.lower[grid] = d_bottom * r.min;
      if (to.weight != nullptr) {
        T* d = to.weight + begin;
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) d[i] = g[i] * m[i];
        // The first place of each extreme; an extreme of 0 belongs to nobody.
        if (r.max > 0) d[std::find(x, x + n, r.max) - x] += d_top * upper[grid];
        if (r.min < 0) d[std::find(x, x + n, r.min) - x] += d_bottom * lower[grid];
      }
    }
  }
}

template <typename T>
absl::StatusOr<QuantizedMatrix> LearnedGrid<T>::Finish(const T* w, const T* v, const T* upper, const T* lower) const {
  const int64_t step = run(), width = spec_.granularity == Granularity::kTensor ? rows_ * cols_ : cols_;
  QuantizedMatrix q;
  q.grid = spec_, q.rows = rows_, q.cols = cols_;
  q.codes.resize(rows_ * cols_);
  int64_t grid = 0;
  for (int64_t row = 0; row < rows_ * cols_; row += width) {
    for (int64_t c = 0; c < width; c += step, ++grid) {
      const int64_t begin = row + c, n = std::min(step, width - c);
      const Grid g = Find(w, begin, n, upper[grid], lower[grid]);
      if (!std::isfinite(g.scale)) {
        return absl::InvalidArgumentError(absl::StrCat("grid ", grid, " of [", rows_, ", ", cols_, "] has the scale ",
                                                       g.scale, " from the range [", g.min, ", ", g.max,
                                                       "]; expected a finite one"));
      }
      q.params.push_back({static_cast<float>(g.scale), static_cast<float>(g.zero)});
      for (int64_t i = begin; i < begin + n; ++i) {
        if (!std::isfinite(w[i])) {
          return absl::InvalidArgumentError(
              absl::StrCat("weight ", i, " of [", rows_, ", ", cols_, "] is ", w[i], "; expected finite numbers"));
        }
        const T u = std::nearbyint(w[i] / g.scale + (v == nullptr ? T(0) : v[i])) + g.zero;
        q.codes[i] = static_cast<uint8_t>(std::clamp<T>(u, 0, spec_.max_code()));
      }
    }
  }
  return q;
}

template class LearnedGrid<float>;
template class LearnedGrid<double>;

}  // namespace eaq
