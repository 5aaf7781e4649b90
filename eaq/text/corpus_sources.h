// The readers behind LoadCorpus: each turns one kind of source into documents without a split.
#ifndef EAQ_TEXT_CORPUS_SOURCES_H_
#define EAQ_TEXT_CORPUS_SOURCES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/text/corpus.h"
#include "eaq/text/dpkg.h"

namespace eaq {

// Reads the default corpus NAME from its installed package. NotFound names files that should be there.
absl::StatusOr<std::vector<Document>> ReadDefaultCorpus(absl::string_view name, const InstalledPackage& package);

// Reads a file, or every file of a folder and of its subfolders (names beginning with '.' left out).
absl::StatusOr<std::vector<Document>> ReadUserFiles(const std::string& path);

}  // namespace eaq

#endif  // EAQ_TEXT_CORPUS_SOURCES_H_
