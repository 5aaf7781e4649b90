#include "eaq/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

absl::Status Error(int error, absl::string_view what, absl::string_view path) {
  const std::string message = absl::StrCat(what, " ", path, ": ", strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    case EISDIR:
      return absl::FailedPreconditionError(message);
    default:
      return absl::UnavailableError(message);
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

absl::Status WriteAll(int fd, absl::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return Error(errno, "cannot write", path);
    }
    bytes.remove_prefix(n);
  }
  if (fsync(fd) != 0) return Error(errno, "cannot flush", path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return Error(errno, "cannot open", path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return Error(errno, "cannot inspect", path);
  if (S_ISDIR(info.st_mode)) return Error(EISDIR, "cannot read", path);
  std::string bytes;
  bytes.reserve(std::max<int64_t>(info.st_size, 0));
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = read(fd.get(), buffer, sizeof(buffer));
    if (n == 0) return bytes;
    if (n < 0) {
      if (errno == EINTR) continue;
      return Error(errno, "cannot read", path);
    }
    bytes.append(buffer, n);
  }
}

absl::Status WriteFileAtomic(const std::string& path, absl::string_view bytes) {
  static std::atomic<int> counter{0};
  const std::string temporary = absl::StrCat(path, ".tmp.", getpid(), ".", counter.fetch_add(1));
  absl::Status status;
  {
    Descriptor fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (fd.get() < 0) return Error(errno, "cannot create", temporary);
    status = WriteAll(fd.get(), bytes, temporary);
    if (status.ok() && close(fd.Release()) != 0) status = Error(errno, "cannot close", temporary);
  }
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = Error(errno, absl::StrCat("cannot rename ", temporary, " to"), path);
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  const std::string folder = Dirname(path);
  Descriptor dir(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() >= 0) fsync(dir.get());  // the rename is durable; a file system that cannot do this still has the file
  return absl::OkStatus();
}

bool FileExists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

bool IsDirectory(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

absl::StatusOr<int64_t> FileSize(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return Error(errno, "cannot inspect", path);
  return info.st_size;
}

absl::Status MakeDirectories(const std::string& path) {
  if (path.empty() || IsDirectory(path)) return absl::OkStatus();
  EAQ_RETURN_IF_ERROR(MakeDirectories(Dirname(path) == path ? "" : Dirname(path)));
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return Error(errno, "cannot create folder", path);
  if (!IsDirectory(path)) return Error(ENOTDIR, "cannot create folder", path);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) {
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return Error(errno, "cannot list folder", path);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return Error(errno, "cannot remove", path);
  return absl::OkStatus();
}

absl::StatusOr<int64_t> FreeBytes(const std::string& path) {
  struct statvfs info;
  if (statvfs(path.c_str(), &info) != 0) return Error(errno, "cannot inspect the file system of", path);
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

std::string JoinPath(absl::string_view folder, absl::string_view name) {
  if (folder.empty()) return std::string(name);
  return absl::StrCat(absl::StripSuffix(folder, "/"), "/", name);
}

std::string Dirname(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string Basename(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == absl::string_view::npos ? path : path.substr(slash + 1));
}

std::string ResolveUserPath(absl::string_view path) {
  if (!path.empty() && path[0] == '/') return std::string(path);
  if (const char* typed_in = std::getenv("BUILD_WORKING_DIRECTORY")) return JoinPath(typed_in, path);
  char here[PATH_MAX];
  return getcwd(here, sizeof(here)) == nullptr ? std::string(path) : JoinPath(here, path);
}

absl::StatusOr<std::string> FindInRepository(absl::string_view relative) {
  std::vector<std::string> tried;
  auto found = [&](const std::string& root) {
    tried.push_back(JoinPath(root, relative));
    return FileExists(tried.back());
  };
  if (const char* root = std::getenv("BUILD_WORKSPACE_DIRECTORY")) {
    if (found(root)) return tried.back();
  }
  char buffer[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", buffer, sizeof(buffer) - 1);
  if (n > 0 && found(absl::StrCat(absl::string_view(buffer, n), ".runfiles/eaq"))) return tried.back();
  if (getcwd(buffer, sizeof(buffer)) != nullptr) {
    for (std::string folder = buffer;; folder = Dirname(folder)) {
      if (found(folder)) return tried.back();
      if (folder == "/") break;
    }
  }
  return absl::NotFoundError(absl::StrCat(relative, " was not found; looked for ", absl::StrJoin(tried, ", "),
                                          "; run from inside the repository, or name an absolute path"));
}

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return Error(errno, "cannot open", path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return Error(errno, "cannot inspect", path);
  if (!S_ISREG(info.st_mode)) return Error(S_ISDIR(info.st_mode) ? EISDIR : EINVAL, "cannot map", path);
  std::shared_ptr<MappedFile> file(new MappedFile());
  file->path_ = path;
  file->size_ = info.st_size;
  if (file->size_ > 0) {
    void* data = mmap(nullptr, file->size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (data == MAP_FAILED) return Error(errno, "cannot map", path);
    file->data_ = static_cast<const char*>(data);
  }
  file->fd_ = fd.Release();
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<char*>(data_), size_);
  if (fd_ >= 0) close(fd_);
}

absl::Status MappedFile::CheckUnchanged() const {
  struct stat info;
  if (fstat(fd_, &info) != 0) return Error(errno, "cannot inspect", path_);
  if (static_cast<size_t>(info.st_size) != size_) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " changed while it was mapped: ", size_, " bytes then, ", info.st_size, " now"));
  }
  return absl::OkStatus();
}

}  // namespace eaq
