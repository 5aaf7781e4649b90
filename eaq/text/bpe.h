// The byte-pair encoding model: symbols of a piece are merged pair by pair, lowest rank first, leftmost on ties
// (Sennrich et al. 2016). O(n log n) for a piece of n symbols.
#ifndef EAQ_TEXT_BPE_H_
#define EAQ_TEXT_BPE_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace eaq {

class BpeMerges {
 public:
  // The pair (left, right) becomes `merged`; the first pair added has rank 0. False if the pair is there already.
  bool Add(int32_t left, int32_t right, int32_t merged);
  size_t size() const { return merges_.size(); }

  // Merges the symbols in place until no pair is in the table. Symbols < 0 never merge.
  void Apply(std::vector<int32_t>* symbols) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t merged;
  };
  const Merge* Find(int32_t left, int32_t right) const {
    const auto it =
        merges_.find(static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right));
    return it == merges_.end() ? nullptr : &it->second;
  }
  void ApplyShort(std::vector<int32_t>* symbols) const;
  void ApplyLong(std::vector<int32_t>* symbols) const;

  absl::flat_hash_map<uint64_t, Merge> merges_;
};

}  // namespace eaq

#endif  // EAQ_TEXT_BPE_H_
