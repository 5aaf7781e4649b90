// Matrices in cache entries: shape, then values, checked on the way back (base/bytes.h).
#ifndef EAQ_TENSOR_MATRIX_BYTES_H_
#define EAQ_TENSOR_MATRIX_BYTES_H_

#include <algorithm>
#include <cstdint>

#include "eaq/base/bytes.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

inline void PutMatrix(const Matrix& m, ByteWriter& out) { out.Number(m.rows()).Number(m.cols()).Array(m.values()); }

// False, and M is not to be used, unless a whole matrix stands there.
inline bool TakeMatrix(ByteReader& in, Matrix* m) {
  const int64_t rows = in.Number<int64_t>(), cols = in.Number<int64_t>();
  Buffer<float> values;
  in.Array(&values);
  if (!in.ok() || rows < 0 || cols < 0 || (cols == 0 ? !values.empty() : values.size() % cols != 0) ||
      (cols > 0 && static_cast<int64_t>(values.size()) / cols != rows)) {
    return false;
  }
  *m = Matrix(rows, cols);
  std::copy(values.begin(), values.end(), m->data());
  return true;
}

}  // namespace eaq

#endif  // EAQ_TENSOR_MATRIX_BYTES_H_
