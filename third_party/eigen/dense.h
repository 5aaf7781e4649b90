// Eigen's dense algebra with the same results on every machine. Eigen asks the processor for the sizes of its caches
// and blocks products by them, which moves the last bits of a product of 64 columns; EIGEN_NO_CPUID makes it take its
// own defaults (32 KiB, 256 KiB, 2 MiB). All of EAQ includes Eigen through this header (tools/lint/doors.txt).
#ifndef THIRD_PARTY_EIGEN_DENSE_H_
#define THIRD_PARTY_EIGEN_DENSE_H_

#ifdef EIGEN_WORLD_VERSION
#error "Eigen was included before third_party/eigen/dense.h"
#endif
#define EIGEN_NO_CPUID
#include <eigen3/Eigen/Dense>

#endif  // THIRD_PARTY_EIGEN_DENSE_H_
