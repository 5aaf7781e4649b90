#include "eaq/text/tokenizer.h"

#include <atomic>
#include <deque>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/tokenizer_state.h"
#include "eaq/text/utf8.h"

namespace eaq {
namespace {

constexpr int64_t kMaxFile = int64_t{256} << 20;  // bytes; the largest published tokenizer.json has 34 MB

// The ids of pieces seen before by this thread. Text repeats itself: most pieces are found here.
struct PieceCache {
  struct Range {
    uint32_t begin, size;
  };
  static constexpr size_t kMaxPiece = 48;
  static constexpr size_t kMaxEntries = 1 << 16;

  uint64_t owner = 0;
  absl::flat_hash_map<std::string, Range> ranges;
  std::vector<int32_t> ids;

  void Claim(uint64_t serial) {
    if (owner == serial && ranges.size() < kMaxEntries) return;
    owner = serial;
    ranges.clear();
    ids.clear();
  }
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;
int64_t Tokenizer::vocab_size() const { return static_cast<int64_t>(state_->tokens.size()); }
const std::string& Tokenizer::hash() const { return state_->hash; }

int32_t Tokenizer::TokenId(absl::string_view token) const {
  const auto it = state_->ids.find(token);
  return it == state_->ids.end() ? -1 : it->second;
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::Load(const std::string& json_path) {
  EAQ_ASSIGN_OR_RETURN(const int64_t size, FileSize(json_path));
  if (size > kMaxFile) {
    return absl::InvalidArgumentError(
        absl::StrCat(json_path, ": ", size, " bytes; expected a tokenizer.json of at most ", kMaxFile));
  }
  EAQ_ASSIGN_OR_RETURN(const std::string json, ReadFile(json_path));
  absl::StatusOr<std::shared_ptr<const Tokenizer>> tokenizer = Parse(json);
  EAQ_RETURN_IF_ERROR(Annotate(tokenizer.status(), json_path));
  return tokenizer;
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::Parse(absl::string_view json) {
  EAQ_ASSIGN_OR_RETURN(const Json parsed, ParseJson(json));
  auto state = std::make_unique<State>();
  EAQ_RETURN_IF_ERROR(ParseTokenizerJson(parsed, state.get()));
  static std::atomic<uint64_t> serial{0};
  state->serial = ++serial;
  state->hash = Sha256Hex(json);
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(state)));
}

void Tokenizer::State::Symbols(absl::string_view piece, std::vector<int32_t>* out) const {
  if (pre_tokenizer.byte_level) {
    for (char c : piece) {
      const int32_t id = byte_ids[static_cast<uint8_t>(c)];
      if (id >= 0) {
        out->push_back(id);
      } else if (unknown >= 0 && !(fuse_unknown && !out->empty() && out->back() == unknown)) {
        out->push_back(unknown);
      }
    }
    return;
  }
  bool last_unknown = false;
  for (size_t i = 0; i < piece.size();) {
    uint32_t code = 0;
    const size_t length = std::max(1, DecodeUtf8(piece.substr(i), &code));
    const absl::string_view character = piece.substr(i, length);
    i += length;
    const auto it = ids.find(character);
    if (it != ids.end()) {
      out->push_back(it->second);
      last_unknown = false;
      continue;
    }
    bool all = byte_fallback;
    for (char c : character) all = all && byte_ids[static_cast<uint8_t>(c)] >= 0;
    if (all) {
      for (char c : character) out->push_back(byte_ids[static_cast<uint8_t>(c)]);
      last_unknown = false;
    } else if (unknown >= 0) {
      if (!(fuse_unknown && last_unknown)) out->push_back(unknown);
      last_unknown = true;
    }
  }
}

void Tokenizer::State::EncodePiece(absl::string_view piece, std::vector<int32_t>* out) const {
  thread_local PieceCache cache;
  cache.Claim(serial);
  if (piece.size() <= PieceCache::kMaxPiece) {
    const auto it = cache.ranges.find(piece);
    if (it != cache.ranges.end()) {
      const auto begin = cache.ids.begin() + it->second.begin;
      out->insert(out->end(), begin, begin + it->second.size);
      return;
    }
  }
  std::vector<int32_t> symbols;
  const auto whole = ignore_merges ? pieces.find(piece) : pieces.end();
  if (whole != pieces.end()) {
    symbols.push_back(whole->second);
  } else {
    Symbols(piece, &symbols);
    merges.Apply(&symbols);
  }
  out->insert(out->end(), symbols.begin(), symbols.end());
  if (piece.size() <= PieceCache::kMaxPiece) {
    cache.ranges[std::string(piece)] = {static_cast<uint32_t>(cache.ids.size()), static_cast<uint32_t>(symbols.size())};
    cache.ids.insert(cache.ids.end(), symbols.begin(), symbols.end());
  }
}

absl::Status Tokenizer::State::EncodeText(absl::string_view text, bool at_start, std::vector<int32_t>* out) const {
  if (text.empty()) return absl::OkStatus();
  if (pre_tokenizer.step == nullptr) {
    EncodePiece(text, out);
    return absl::OkStatus();
  }
  std::deque<std::string> arena;
  std::vector<absl::string_view> parts;
  EAQ_RETURN_IF_ERROR(pre_tokenizer.step->Split(text, {at_start, &arena}, &parts));
  for (absl::string_view part : parts) EncodePiece(part, out);
  return absl::OkStatus();
}

absl::Status Tokenizer::State::EncodeRaw(absl::string_view text, bool at_start, std::vector<int32_t>* out) const {
  std::string normalized;
  if (normalizer != nullptr) {
    normalized = normalizer->Apply(std::string(text));
    text = normalized;
  }
  if (normalized_tokens.empty()) return EncodeText(text, at_start, out);
  for (const Segment& segment : normalized_tokens.Split(text)) {
    if (segment.id >= 0) {
      out->push_back(segment.id);
    } else {
      EAQ_RETURN_IF_ERROR(EncodeText(segment.text, at_start && segment.text.data() == text.data(), out));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(absl::string_view bytes, bool add_special_tokens) const {
  const State& s = *state_;
  std::vector<int32_t> out;
  out.reserve(bytes.size() / 3 + 4);
  if (add_special_tokens) out = s.before;

  std::string replaced;
  const bool valid = ValidUtf8Prefix(bytes) == bytes.size();
  if (!valid && !s.pre_tokenizer.byte_level) {
    replaced = ReplaceInvalidUtf8(bytes);
    bytes = replaced;
  }
  for (const Segment& segment : s.raw_tokens.empty() ? std::vector<Segment>{{bytes, -1}} : s.raw_tokens.Split(bytes)) {
    if (segment.id >= 0) {
      out.push_back(segment.id);
      continue;
    }
    absl::string_view text = segment.text;
    while (!text.empty()) {
      const size_t good = valid ? text.size() : ValidUtf8Prefix(text);
      if (good > 0) EAQ_RETURN_IF_ERROR(s.EncodeRaw(text.substr(0, good), text.data() == bytes.data(), &out));
      text.remove_prefix(good);
      size_t bad = 0;  // bytes that begin no character
      uint32_t code = 0;
      while (bad < text.size() && DecodeUtf8(text.substr(bad), &code) == 0) ++bad;
      if (bad > 0) s.EncodePiece(text.substr(0, bad), &out);
      text.remove_prefix(bad);
    }
  }
  if (add_special_tokens) out.insert(out.end(), s.after.begin(), s.after.end());
  return out;
}

std::string Tokenizer::Decode(absl::Span<const int32_t> ids, bool skip_special) const {
  const State& s = *state_;
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (int32_t id : ids) {
    if (id < 0 || id >= static_cast<int32_t>(s.tokens.size()) || (skip_special && s.special[id])) continue;
    tokens.push_back(s.tokens[id]);
  }
  s.decoder->Apply(&tokens);
  std::string out;
  for (const std::string& token : tokens) absl::StrAppend(&out, token);
  return out;
}

}  // namespace eaq
