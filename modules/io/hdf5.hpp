#pragma once

#include <hdf5.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/attribute.hpp"
#include "io/dtype.hpp"

/// HDF5 with owners and errors. Any library from 1.10.8, serial or parallel; files are always opened
/// by one process with the POSIX driver (parallel writers use the file offsets). The library prints
/// nothing: its error stack becomes the text of an Error(io) with the call and the file. Debian's
/// HDF5 is not thread-safe: one thread of a process calls these functions.
namespace moray::hdf5 {

/// An identifier that is closed by its own function.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close closer) : id_(id), close_(closer) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const { return id_; }
  /// Closes now. False if HDF5 reports an error.
  bool close() { return id_ < 0 || close_(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

/// Throws Error(io) "<place>: <call> failed: <innermost cause>".
[[noreturn]] void throw_error(const char* call, const std::string& place);
template <class Result>
Result check(Result result, const char* call, const std::string& place) {
  if (result < 0) throw_error(call, place);
  return result;
}

/// Calls an HDF5 function and checks its result.
#define MORAY_HDF5(function, place, ...) \
  ::moray::hdf5::check(function(__VA_ARGS__), #function, place)

/// A new file; an existing one is an error. Metadata in the 1.8 format, which has checksums and
/// which every HDF5 since 1.8 reads.
Handle create_file(const std::string& path);
/// An existing file, read-only, without filter plug-ins and without a lock of the file system.
Handle open_file(const std::string& path);

/// The type as it lies in the file (little-endian; bfloat16 as a 16-bit float of HDF5's own kind).
Handle file_type(Dtype dtype);
/// A fixed-length UTF-8 string of `size` bytes (at least 1), padded with zeros.
Handle string_type(std::size_t size);
/// A simple space; rank 0 is a scalar.
Handle space(const std::vector<std::int64_t>& shape);

/// Properties of a dataset that is contiguous, allocated at once, never filled and without times,
/// so that its offset in the file is known and equal contents make equal files.
Handle contiguous();
/// Makes the groups of `name` ("a/b/c": a, a/b) that are not there yet.
void make_groups(hid_t file, const std::string& name, const std::string& place);
/// A dataset at `name` (its groups must be there).
Handle create_dataset(hid_t file, const std::string& name, hid_t type, hid_t space,
                      const std::string& place);

/// A scalar attribute: int64, float64 or a fixed-length UTF-8 string.
void write_attribute(hid_t object, const Attribute& attribute, const std::string& place);
/// The value of a scalar attribute of one of those three types; anything else is an error.
AttributeValue read_attribute(hid_t object, const std::string& name, const std::string& place);

/// A scalar dataset that holds one fixed-length UTF-8 string.
void write_text(hid_t file, const std::string& name, std::string_view text,
                const std::string& place);
std::string read_text(hid_t file, const std::string& name, const std::string& place);

/// Shape of a dataset of at most 8 dimensions.
std::vector<std::int64_t> shape_of(hid_t dataset, const std::string& place);

/// Walks all objects and refuses what a file of this program never has: soft, external or
/// user-defined links, filters, variable-length or compound types, external storage. Returns the
/// names of its datasets, sorted.
std::vector<std::string> list_datasets(hid_t file, const std::string& place);

}  // namespace moray::hdf5
