// `eaq tokenize`: text on stdin -> ids, or ids -> text.
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/tokenizer.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace eaq {
namespace {

absl::StatusOr<std::vector<int32_t>> ParseIds(const std::string& text) {
  EAQ_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  if (!json.is_array()) return absl::InvalidArgumentError("stdin: expected a JSON array of ids");
  std::vector<int32_t> ids;
  for (const Json& id : json) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > 0x7fffffff)
      return absl::InvalidArgumentError(absl::StrCat("stdin: element ", ids.size(), " is not a token id"));
    ids.push_back(static_cast<int32_t>(id.get<uint64_t>()));
  }
  return ids;
}

absl::Status Run(const std::string& model, bool decode, bool special, bool json, const std::string& input) {
  EAQ_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(JoinPath(ResolveUserPath(model), "tokenizer.json")));
  if (decode) {
    EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ParseIds(input));
    std::cout << tokenizer->Decode(ids, !special);
    return absl::OkStatus();
  }
  EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer->Encode(input, special));
  if (json) {
    std::cout << "[" << absl::StrJoin(ids, ",") << "]\n";
    return absl::OkStatus();
  }
  for (const int32_t id : ids) {
    const std::string piece = tokenizer->Decode({id});
    std::cout << id << "\t" << Json(piece).dump(-1, ' ', true, Json::error_handler_t::replace) << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

int TokenizeMain(int argc, char** argv) {
  std::string model;
  bool json = false, decode = false, special = false;
  Flags flags("tokenize", "Reads a text from stdin and prints its token ids (one per line with its piece, or as JSON).",
              "echo 'The house' | eaq tokenize --model=models/ref-s --json");
  flags.Add("model", &model, "folder with a tokenizer.json");
  flags.Add("json", &json, "print a JSON array of ids");
  flags.Add("decode", &decode, "the other way: read a JSON array of ids, print the text");
  flags.Add("special", &special, "add (or show, when decoding) the special tokens the file asks for");
  if (const std::optional<int> exit_code = flags.Parse(argc, argv)) return *exit_code;
  if (model.empty()) return ReportError("tokenize", absl::InvalidArgumentError("--model=DIR is needed"), true);
  const std::string input{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  const absl::Status status = Run(model, decode, special, json, input);
  return status.ok() ? 0 : ReportError("tokenize", status);
}

}  // namespace eaq
