// tokenizer.json -> Tokenizer::State.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/byte_alphabet.h"
#include "eaq/text/json_fields.h"
#include "eaq/text/tokenizer_state.h"

namespace eaq {
namespace {

using State = Tokenizer::State;

constexpr int64_t kMaxId = 1 << 24;  // 16 million: no vocabulary is near, and no file makes us allocate more

absl::Status Put(State* state, const std::string& token, int64_t id, absl::string_view where) {
  if (id < 0 || id >= kMaxId) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": token \"", token, "\" has the id ", id, "; expected 0 to ", kMaxId - 1));
  }
  if (id >= static_cast<int64_t>(state->tokens.size())) {
    state->tokens.resize(id + 1);
    state->special.resize(id + 1);
  }
  const auto [it, fresh] = state->ids.try_emplace(token, static_cast<int32_t>(id));
  if (!fresh) return absl::InvalidArgumentError(absl::StrCat(where, ": token \"", token, "\" stands there twice"));
  if (!state->tokens[id].empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": tokens \"", state->tokens[id], "\" and \"", token, "\" have the same id ", id));
  }
  state->tokens[id] = token;
  return absl::OkStatus();
}

absl::Status ParseVocab(const Json& model, State* state) {
  EAQ_ASSIGN_OR_RETURN(const Json* vocab, ObjectField(model, "vocab", "model"));
  if (vocab->empty()) return absl::InvalidArgumentError("model: the vocab is empty");
  const int64_t limit = std::min<int64_t>(kMaxId, 1024 + 16 * static_cast<int64_t>(vocab->size()));
  for (auto it = vocab->begin(); it != vocab->end(); ++it) {
    if (!it->is_number_integer() || it->get<int64_t>() < 0 || it->get<int64_t>() >= limit) {
      return absl::InvalidArgumentError(absl::StrCat("model, vocab: token \"", it.key(), "\" has the id ",
                                                     it->dump().substr(0, 40), "; expected an integer from 0 to ",
                                                     limit - 1, " in a vocabulary of ", vocab->size()));
    }
    EAQ_RETURN_IF_ERROR(Put(state, it.key(), it->get<int64_t>(), "model, vocab"));
  }
  return absl::OkStatus();
}

// ["a", "b"], or in older files "a b".
absl::StatusOr<std::pair<std::string, std::string>> MergeParts(const Json& item, size_t rank) {
  if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
    return std::make_pair(item[0].get<std::string>(), item[1].get<std::string>());
  }
  if (item.is_string()) {
    const std::string text = item.get<std::string>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return std::make_pair(text.substr(0, space), text.substr(space + 1));
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("model, merges: entry ", rank, " is ", item.dump().substr(0, 80),
                                                 "; expected [\"left\", \"right\"] or \"left right\""));
}

absl::Status ParseMerges(const Json& model, State* state) {
  EAQ_ASSIGN_OR_RETURN(const Json* merges, ArrayField(model, "merges", "model"));
  for (size_t rank = 0; rank < merges->size(); ++rank) {
    const Json& item = (*merges)[rank];
    if (rank == 0 && item.is_string() && absl::StartsWith(item.get<std::string>(), "#version")) continue;
    EAQ_ASSIGN_OR_RETURN(const auto parts, MergeParts(item, rank));
    const std::string whole = parts.first + parts.second;
    int32_t ids[3] = {};
    const std::string* names[3] = {&parts.first, &parts.second, &whole};
    for (int i = 0; i < 3; ++i) {
      const auto it = state->ids.find(*names[i]);
      // Every merge makes a longer token, so merges can never run in a circle; an empty part would allow it.
      if (names[i]->empty() || it == state->ids.end()) {
        return absl::InvalidArgumentError(absl::StrCat("model, merges: entry ", rank, ": the ",
                                                       i == 0   ? "left part"
                                                       : i == 1 ? "right part"
                                                                : "result",
                                                       " \"", *names[i], "\" is not in the vocab"));
      }
      ids[i] = it->second;
    }
    if (!state->merges.Add(ids[0], ids[1], ids[2])) {
      return absl::InvalidArgumentError(
          absl::StrCat("model, merges: entry ", rank, " merges a pair that an earlier entry has: ", item.dump()));
    }
  }
  return absl::OkStatus();
}

absl::Status ParseModel(const Json& json, State* state) {
  EAQ_ASSIGN_OR_RETURN(const Json* model, ObjectField(json, "model", "tokenizer.json"));
  EAQ_ASSIGN_OR_RETURN(const std::string type, OptionalString(*model, "type", "model"));
  if (!type.empty() && type != "BPE") {
    return absl::UnimplementedError(absl::StrCat("model type \"", type, "\" is not supported; supported: BPE"));
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    EAQ_ASSIGN_OR_RETURN(const std::string text, OptionalString(*model, key, "model"));
    if (!text.empty()) return absl::UnimplementedError(absl::StrCat("model: a ", key, " is not supported"));
  }
  if (const auto it = model->find("dropout"); it != model->end() && !it->is_null()) {
    if (!it->is_number()) return absl::InvalidArgumentError("model: field \"dropout\": expected a number or null");
    if (it->get<double>() != 0) return absl::UnimplementedError("model: BPE dropout is not supported (it is random)");
  }
  EAQ_ASSIGN_OR_RETURN(state->byte_fallback, BoolField(*model, "byte_fallback", false, "model"));
  EAQ_ASSIGN_OR_RETURN(state->fuse_unknown, BoolField(*model, "fuse_unk", false, "model"));
  EAQ_ASSIGN_OR_RETURN(state->ignore_merges, BoolField(*model, "ignore_merges", false, "model"));
  EAQ_RETURN_IF_ERROR(ParseVocab(*model, state));
  EAQ_RETURN_IF_ERROR(ParseMerges(*model, state));
  EAQ_ASSIGN_OR_RETURN(const std::string unknown, OptionalString(*model, "unk_token", "model"));
  if (!unknown.empty()) {
    const auto it = state->ids.find(unknown);
    if (it == state->ids.end()) {
      return absl::InvalidArgumentError(absl::StrCat("model: the unk_token \"", unknown, "\" is not in the vocab"));
    }
    state->unknown = it->second;
  }
  if (state->pre_tokenizer.byte_level) {
    for (int byte = 0; byte < 256; ++byte) {
      const auto it = state->ids.find(ByteToCharacter(static_cast<uint8_t>(byte)));
      state->byte_ids[byte] = it == state->ids.end() ? -1 : it->second;
      if (it == state->ids.end() && state->unknown < 0) {
        return absl::InvalidArgumentError(absl::StrFormat(
            "model, vocab: the byte 0x%02X has no token (\"%s\"), so a byte-level tokenizer would lose it", byte,
            ByteToCharacter(static_cast<uint8_t>(byte))));
      }
    }
  } else {
    bool all = true;
    for (int byte = 0; byte < 256; ++byte) {
      const auto it = state->ids.find(absl::StrFormat("<0x%02X>", byte));
      state->byte_ids[byte] = it == state->ids.end() ? -1 : it->second;
      all = all && it != state->ids.end();
    }
  }
  if (state->ignore_merges) {
    std::string bytes;
    for (const auto& [token, id] : state->ids) {
      if (!state->pre_tokenizer.byte_level) {
        state->pieces[token] = id;
      } else if (CharactersToBytes(token, &bytes)) {
        state->pieces[bytes] = id;
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ParseAddedTokens(const Json& json, State* state) {
  const auto list = json.find("added_tokens");
  if (list == json.end() || list->is_null()) return absl::OkStatus();
  if (!list->is_array()) return absl::InvalidArgumentError("tokenizer.json: field \"added_tokens\": expected an array");
  for (size_t i = 0; i < list->size(); ++i) {
    const Json& item = (*list)[i];
    const std::string where = absl::StrCat("added_tokens[", i, "]");
    AddedToken token;
    EAQ_ASSIGN_OR_RETURN(const int64_t id, IntField(item, "id", where));
    EAQ_ASSIGN_OR_RETURN(token.content, StringField(item, "content", where));
    EAQ_ASSIGN_OR_RETURN(token.single_word, BoolField(item, "single_word", false, where));
    EAQ_ASSIGN_OR_RETURN(token.lstrip, BoolField(item, "lstrip", false, where));
    EAQ_ASSIGN_OR_RETURN(token.rstrip, BoolField(item, "rstrip", false, where));
    EAQ_ASSIGN_OR_RETURN(token.special, BoolField(item, "special", false, where));
    EAQ_ASSIGN_OR_RETURN(token.normalized, BoolField(item, "normalized", !token.special, where));
    const auto known = state->ids.find(token.content);
    if (known == state->ids.end()) {
      if (token.content.empty()) return absl::InvalidArgumentError(absl::StrCat(where, ": the content is empty"));
      // A new token extends the vocabulary; a far-away id is a mistake (and would cost memory).
      if (id > static_cast<int64_t>(state->tokens.size()) + 65536) {
        return absl::InvalidArgumentError(absl::StrCat(where, ": token \"", token.content, "\" has the id ", id,
                                                       ", far beyond the vocabulary of ", state->tokens.size()));
      }
      EAQ_RETURN_IF_ERROR(Put(state, token.content, id, where));
    } else if (known->second != id) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": token \"", token.content, "\" has the id ", id,
                                                     " here and ", known->second, " elsewhere in the file"));
    }
    token.id = static_cast<int32_t>(id);
    state->special[id] = token.special;
    if (!token.normalized) {
      state->raw_tokens.Add(token);
    } else {
      if (state->normalizer != nullptr) token.content = state->normalizer->Apply(token.content);
      state->normalized_tokens.Add(token);
    }
  }
  return absl::OkStatus();
}

// TemplateProcessing for one text: special tokens before and after it.
absl::Status ParsePostProcessor(const Json& json, State* state) {
  if (json.is_null()) return absl::OkStatus();
  EAQ_ASSIGN_OR_RETURN(const std::string type, StringField(json, "type", "post_processor"));
  if (type == "ByteLevel") return absl::OkStatus();  // only moves offsets
  if (type == "Sequence") {
    EAQ_ASSIGN_OR_RETURN(const Json* list, ArrayField(json, "processors", "post_processor Sequence"));
    for (const Json& item : *list) EAQ_RETURN_IF_ERROR(ParsePostProcessor(item, state));
    return absl::OkStatus();
  }
  if (type != "TemplateProcessing") {
    return absl::UnimplementedError(absl::StrCat(
        "post_processor \"", type, "\" is not supported; supported: ByteLevel, TemplateProcessing, Sequence"));
  }
  constexpr char kWhere[] = "post_processor TemplateProcessing";
  EAQ_ASSIGN_OR_RETURN(const Json* single, ArrayField(json, "single", kWhere));
  EAQ_ASSIGN_OR_RETURN(const Json* specials, ObjectField(json, "special_tokens", kWhere));
  std::vector<int32_t> before, after;
  bool seen = false;
  for (const Json& item : *single) {
    if (item.is_object() && item.contains("Sequence")) {
      if (seen) return absl::UnimplementedError(absl::StrCat(kWhere, ": the text twice is not supported"));
      seen = true;
      continue;
    }
    EAQ_ASSIGN_OR_RETURN(const Json* special, ObjectField(item, "SpecialToken", kWhere));
    EAQ_ASSIGN_OR_RETURN(const std::string name, StringField(*special, "id", kWhere));
    EAQ_ASSIGN_OR_RETURN(const Json* entry, ObjectField(*specials, name, kWhere));
    EAQ_ASSIGN_OR_RETURN(const Json* ids, ArrayField(*entry, "ids", kWhere));
    for (const Json& id : *ids) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
          id.get<int64_t>() >= static_cast<int64_t>(state->tokens.size())) {
        return absl::InvalidArgumentError(absl::StrCat(kWhere, ": special token \"", name, "\" has the id ",
                                                       id.dump().substr(0, 40), ", which is not in the vocabulary"));
      }
      (seen ? after : before).push_back(static_cast<int32_t>(id.get<int64_t>()));
    }
  }
  if (!seen) return absl::InvalidArgumentError(absl::StrCat(kWhere, ": the template has no place for the text"));
  state->before.insert(state->before.begin(), before.begin(), before.end());
  state->after.insert(state->after.end(), after.begin(), after.end());
  return absl::OkStatus();
}

Json FieldOrNull(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it == json.end() ? Json(nullptr) : *it;
}

}  // namespace

absl::Status ParseTokenizerJson(const Json& json, State* state) {
  if (!json.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: expected an object, found ", json.type_name()));
  }
  EAQ_ASSIGN_OR_RETURN(const std::string version, OptionalString(json, "version", "tokenizer.json"));
  if (!version.empty() && version != "1.0") {
    return absl::UnimplementedError(absl::StrCat("tokenizer.json: version \"", version, "\"; supported: 1.0"));
  }
  EAQ_ASSIGN_OR_RETURN(state->normalizer, ParseNormalizer(FieldOrNull(json, "normalizer")));
  EAQ_ASSIGN_OR_RETURN(state->pre_tokenizer, ParsePreTokenizer(FieldOrNull(json, "pre_tokenizer")));
  EAQ_ASSIGN_OR_RETURN(state->decoder, ParseDecoder(FieldOrNull(json, "decoder")));
  EAQ_RETURN_IF_ERROR(ParseModel(json, state));
  EAQ_RETURN_IF_ERROR(ParseAddedTokens(json, state));
  return ParsePostProcessor(FieldOrNull(json, "post_processor"), state);
}

}  // namespace eaq
