#include "tools/flags.h"

#include <algorithm>
#include <iostream>
#include <numeric>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace eaq {
namespace {

// Levenshtein distance.
int EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    int diagonal = std::exchange(row[0], static_cast<int>(i));
    for (size_t j = 1; j <= b.size(); ++j) {
      const int substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string NearestName(absl::string_view name, const std::vector<std::string>& known) {
  std::string best;
  int best_distance = name.size() > 8 ? 4 : 3;
  for (const std::string& candidate : known) {
    const int distance = EditDistance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

Flags::Flags(std::string command, std::string summary, std::string example)
    : command_(std::move(command)), summary_(std::move(summary)), example_(std::move(example)) {}

void Flags::Add(const std::string& name, std::string* target, const std::string& help) {
  flags_.push_back({name, help, *target, false, [target](const std::string& value) {
                      *target = value;
                      return true;
                    }});
}

void Flags::Add(const std::string& name, int64_t* target, const std::string& help) {
  flags_.push_back({name, help, absl::StrCat(*target), false,
                    [target](const std::string& value) { return absl::SimpleAtoi(value, target); }});
}

void Flags::Add(const std::string& name, double* target, const std::string& help) {
  flags_.push_back({name, help, absl::StrCat(*target), false,
                    [target](const std::string& value) { return absl::SimpleAtod(value, target); }});
}

void Flags::Add(const std::string& name, bool* target, const std::string& help) {
  flags_.push_back({name, help, *target ? "true" : "false", true,
                    [target](const std::string& value) { return absl::SimpleAtob(value, target); }});
}

const Flags::Flag* Flags::Find(absl::string_view name) const {
  for (const Flag& flag : flags_)
    if (flag.name == name) return &flag;
  return nullptr;
}

int Flags::Fail(const std::string& message) const {
  std::cerr << "eaq " << command_ << ": " << message << "\n  `eaq " << command_ << " --help` lists the flags\n";
  return 2;
}

std::string Flags::Help() const {
  std::string text = absl::StrCat(summary_, "\n\n  ", example_, "\n\nFlags:\n");
  size_t width = 0;
  for (const Flag& flag : flags_) width = std::max(width, flag.name.size());
  for (const Flag& flag : flags_) {
    absl::StrAppend(&text, "  --", flag.name, std::string(width - flag.name.size() + 2, ' '), flag.help);
    if (!flag.fallback.empty() && flag.fallback != "false") absl::StrAppend(&text, " [", flag.fallback, "]");
    text += "\n";
  }
  return text;
}

std::optional<int> Flags::Parse(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help" || argument == "-h" || argument == "-help") {
      std::cout << Help();
      return 0;
    }
    if (argument.size() < 3 || argument.substr(0, 2) != "--")
      return Fail(absl::StrCat("unexpected argument \"", argument, "\"; everything is a flag, --name=value"));
    const size_t equals = argument.find('=');
    std::string name = argument.substr(2, equals == std::string::npos ? std::string::npos : equals - 2);
    const Flag* flag = Find(name);
    std::string value;
    if (flag == nullptr && equals == std::string::npos && name.substr(0, 2) == "no") {
      const Flag* negated = Find(name.substr(2));
      if (negated != nullptr && negated->is_bool) {
        negated->set("false");
        continue;
      }
    }
    if (flag == nullptr) {
      std::vector<std::string> names = {"help"};
      for (const Flag& known : flags_) names.push_back(known.name);
      const std::string near = NearestName(name, names);
      return Fail(
          absl::StrCat("unknown flag --", name, near.empty() ? "" : absl::StrCat("; did you mean --", near, "?")));
    }
    if (equals != std::string::npos) {
      value = argument.substr(equals + 1);
    } else if (flag->is_bool) {
      value = "true";
    } else if (i + 1 < argc) {
      value = argv[++i];
    } else {
      return Fail(absl::StrCat("--", name, " needs a value"));
    }
    if (!flag->set(value)) return Fail(absl::StrCat("--", name, "=", value, " is not a valid value"));
  }
  return std::nullopt;
}

}  // namespace eaq
