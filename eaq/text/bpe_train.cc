#include "eaq/text/bpe_train.h"

#include <algorithm>
#include <map>
#include <queue>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/json.h"
#include "eaq/text/byte_alphabet.h"
#include "eaq/text/gpt2_split.h"

namespace eaq {
namespace {

constexpr char kEndOfText[] = "<|endoftext|>";

struct Word {
  std::vector<int32_t> symbols;
  int64_t count;
};

// The distinct pieces of all texts with their counts, sorted, so that the order of work never matters.
std::vector<Word> CountWords(const std::vector<absl::string_view>& texts, ThreadPool* pool) {
  constexpr int64_t kShards = 16;
  std::vector<absl::flat_hash_map<absl::string_view, int64_t>> shards(kShards);
  pool->ParallelFor(kShards, [&](int64_t shard) {
    std::vector<absl::string_view> pieces;
    for (size_t i = shard; i < texts.size(); i += kShards) {
      pieces.clear();
      SplitGpt2(texts[i], &pieces);
      for (absl::string_view piece : pieces) ++shards[shard][piece];
    }
  });
  std::map<absl::string_view, int64_t> counts;
  for (const auto& shard : shards) {
    for (const auto& [piece, count] : shard) counts[piece] += count;
  }
  std::vector<Word> words;
  words.reserve(counts.size());
  for (const auto& [piece, count] : counts) {
    Word word{{}, count};
    for (char c : piece) word.symbols.push_back(static_cast<uint8_t>(c));
    words.push_back(std::move(word));
  }
  return words;
}

using Pair = std::pair<int32_t, int32_t>;

struct PairState {
  int64_t count = 0;
  absl::flat_hash_set<int32_t> words;  // where it stands, or once stood
};

struct Candidate {
  int64_t count;
  Pair pair;
  bool operator<(const Candidate& other) const {  // the heap's top: highest count, then smallest pair
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

struct Trained {
  std::vector<std::string> tokens;  // bytes of each id
  std::vector<Pair> merges;
};

Trained Train(std::vector<Word> words, const BpeTrainOptions& options) {
  Trained trained;
  for (int byte = 0; byte < 256; ++byte) trained.tokens.emplace_back(1, static_cast<char>(byte));
  absl::flat_hash_map<Pair, PairState> pairs;
  for (size_t w = 0; w < words.size(); ++w) {
    const std::vector<int32_t>& s = words[w].symbols;
    for (size_t i = 0; i + 1 < s.size(); ++i) {
      PairState& state = pairs[{s[i], s[i + 1]}];
      state.count += words[w].count;
      state.words.insert(static_cast<int32_t>(w));
    }
  }
  std::priority_queue<Candidate> heap;
  for (const auto& [pair, state] : pairs) heap.push({state.count, pair});
  absl::flat_hash_set<std::string> known(trained.tokens.begin(), trained.tokens.end());

  while (static_cast<int64_t>(trained.tokens.size()) + 1 < options.vocab_size && !heap.empty()) {
    const Candidate top = heap.top();
    heap.pop();
    const auto found = pairs.find(top.pair);
    if (found == pairs.end()) continue;
    if (found->second.count != top.count) {  // stale: the count has changed since
      if (found->second.count > 0) heap.push({found->second.count, top.pair});
      continue;
    }
    if (top.count < options.min_count) break;
    const std::string token = trained.tokens[top.pair.first] + trained.tokens[top.pair.second];
    const std::vector<int32_t> where(found->second.words.begin(), found->second.words.end());
    // One token per byte string: a second way to the same bytes would need an id of its own.
    const bool usable = static_cast<int64_t>(token.size()) <= options.max_token_bytes && known.insert(token).second;
    pairs.erase(found);
    if (!usable) continue;
    const auto merged = static_cast<int32_t>(trained.tokens.size());
    trained.tokens.push_back(token);
    trained.merges.push_back(top.pair);

    absl::flat_hash_set<Pair> fresh;  // pairs that now occur more often than the heap says
    for (const int32_t w : where) {
      Word& word = words[w];
      std::vector<int32_t>& s = word.symbols;
      const auto change = [&](int32_t left, int32_t right, int64_t by) {
        const Pair pair(left, right);
        if (pair == top.pair) return;
        PairState& state = pairs[pair];
        state.count += by;
        if (by > 0) {
          state.words.insert(w);
          fresh.insert(pair);
        }
      };
      size_t out = 0;
      for (size_t i = 0; i < s.size();) {
        if (i + 1 < s.size() && s[i] == top.pair.first && s[i + 1] == top.pair.second) {
          if (out > 0) {
            change(s[out - 1], top.pair.first, -word.count);
            change(s[out - 1], merged, word.count);
          }
          if (i + 2 < s.size()) {
            change(top.pair.second, s[i + 2], -word.count);
            change(merged, s[i + 2], word.count);
          }
          s[out++] = merged;
          i += 2;
        } else {
          s[out++] = s[i++];
        }
      }
      s.resize(out);
    }
    for (const Pair& pair : fresh) heap.push({pairs[pair].count, pair});
  }
  return trained;
}

std::string Display(const std::string& bytes) {
  std::string out;
  for (char c : bytes) out += ByteToCharacter(static_cast<uint8_t>(c));
  return out;
}

Json ByteLevelStep() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
}

std::string ToJson(const Trained& trained) {
  const auto end = static_cast<int64_t>(trained.tokens.size());
  Json vocab = Json::object();
  for (size_t id = 0; id < trained.tokens.size(); ++id) vocab[Display(trained.tokens[id])] = id;
  Json merges = Json::array();
  for (const auto& [left, right] : trained.merges) {
    merges.push_back(Json::array({Display(trained.tokens[left]), Display(trained.tokens[right])}));
  }
  const Json json = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", Json::array({{{"id", end},
                                     {"content", kEndOfText},
                                     {"single_word", false},
                                     {"lstrip", false},
                                     {"rstrip", false},
                                     {"normalized", false},
                                     {"special", true}}})},
      {"normalizer", nullptr},
      {"pre_tokenizer", ByteLevelStep()},
      {"post_processor", nullptr},
      {"decoder", ByteLevelStep()},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"ignore_merges", false},
        {"vocab", std::move(vocab)},
        {"merges", std::move(merges)}}},
  };
  return json.dump(1) + "\n";
}

}  // namespace

absl::StatusOr<std::string> TrainByteLevelBpe(const std::vector<absl::string_view>& texts,
                                              const BpeTrainOptions& options, ThreadPool* pool) {
  if (options.vocab_size < 257 || options.vocab_size > 1000000) {
    return absl::InvalidArgumentError(absl::StrCat("BPE training: vocab_size ", options.vocab_size,
                                                   "; expected 257 (256 bytes and ", kEndOfText, ") to 1000000"));
  }
  return ToJson(Train(CountWords(texts, pool), options));
}

absl::StatusOr<std::string> TrainTokenizer(const std::vector<Corpus>& corpora, const BpeTrainOptions& options,
                                           ThreadPool* pool) {
  std::vector<absl::string_view> texts;
  for (const Corpus& corpus : corpora) {
    for (const Document& document : corpus.documents) {
      if (document.split == Split::kTrain) texts.push_back(document.text);
    }
  }
  return TrainByteLevelBpe(texts, options, pool);
}

}  // namespace eaq
