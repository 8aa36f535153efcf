#include <algorithm>

#include "core/error.hpp"
#include "io/hdf5.hpp"

namespace moray::hdf5 {
namespace {

constexpr int kMostDimensions = 8;
constexpr std::size_t kLargestText = std::size_t{16} << 20;

Handle open_dataset(hid_t file, const std::string& name, const std::string& place) {
  return {MORAY_HDF5(H5Dopen2, fmt::format("{}:{}", place, name), file, name.c_str(), H5P_DEFAULT),
          H5Dclose};
}

/// What one walk over a file gathers. HDF5's callbacks are C: an exception must not cross them, so
/// the first refusal is kept here.
struct Walk {
  hid_t file;
  std::vector<std::string> datasets;
  std::string refused;
};

std::string unwelcome(hid_t file, const char* name) {
  const Handle dataset(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose);
  if (dataset < 0) return "cannot be opened";
  const Handle type(H5Dget_type(dataset), H5Tclose);
  const H5T_class_t kind = H5Tget_class(type);
  const bool plain = kind == H5T_FLOAT || kind == H5T_INTEGER ||
                     (kind == H5T_STRING && H5Tis_variable_str(type) == 0);
  if (!plain) return "has a type that is no fixed-size number or string";
  const Handle creation(H5Dget_create_plist(dataset), H5Pclose);
  if (H5Pget_nfilters(creation) != 0) return "has filters";
  if (H5Pget_external_count(creation) != 0) return "lies in an external file";
  if (H5Pget_layout(creation) != H5D_CONTIGUOUS) return "is not contiguous";
  return "";
}

herr_t visit(hid_t group, const char* name, const H5L_info_t* link, void* data) {
  auto& walk = *static_cast<Walk*>(data);
  if (link->type != H5L_TYPE_HARD) {
    walk.refused = fmt::format("{}: is a soft, external or user-defined link", name);
    return 1;
  }
  const Handle object(H5Oopen(group, name, H5P_DEFAULT), H5Oclose);
  const H5I_type_t kind = object < 0 ? H5I_BADID : H5Iget_type(object);
  if (kind == H5I_GROUP) return 0;
  const std::string reason =
      kind == H5I_DATASET ? unwelcome(walk.file, name) : "is neither a group nor a dataset";
  if (!reason.empty()) {
    walk.refused = fmt::format("{}: {}", name, reason);
    return 1;
  }
  walk.datasets.push_back(name);
  return 0;
}

}  // namespace

void write_text(hid_t file, const std::string& name, std::string_view text,
                const std::string& place) {
  const std::string where = fmt::format("{}:{}", place, name);
  const Handle type = string_type(text.size());
  const Handle dataset = create_dataset(file, name, type, space({}), place);
  const std::string copy(text);  // with the final zero that an empty text needs
  MORAY_HDF5(H5Dwrite, where, dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, copy.c_str());
}

std::string read_text(hid_t file, const std::string& name, const std::string& place) {
  const std::string where = fmt::format("{}:{}", place, name);
  const Handle dataset = open_dataset(file, name, place);
  const Handle type(MORAY_HDF5(H5Dget_type, where, dataset), H5Tclose);
  if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0)
    fail(ExitCode::io, "{}: is not a fixed-length string", where);
  if (!shape_of(dataset, where).empty()) fail(ExitCode::io, "{}: is not a scalar", where);
  const std::size_t size = H5Tget_size(type);
  if (size > kLargestText) fail(ExitCode::io, "{}: has {} bytes, too many for a text", where, size);
  std::string text(size, '\0');
  MORAY_HDF5(H5Dread, where, dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text.data());
  text.resize(text.find_last_not_of('\0') + 1);
  return text;
}

std::vector<std::int64_t> shape_of(hid_t dataset, const std::string& place) {
  const Handle extent(MORAY_HDF5(H5Dget_space, place, dataset), H5Sclose);
  const int rank = MORAY_HDF5(H5Sget_simple_extent_ndims, place, extent);
  if (rank > kMostDimensions) fail(ExitCode::io, "{}: has {} dimensions", place, rank);
  hsize_t extents[kMostDimensions] = {};
  MORAY_HDF5(H5Sget_simple_extent_dims, place, extent, extents, nullptr);
  return {extents, extents + rank};
}

std::vector<std::string> list_datasets(hid_t file, const std::string& place) {
  Walk walk{file, {}, ""};
  MORAY_HDF5(H5Lvisit, place, file, H5_INDEX_NAME, H5_ITER_INC, visit, &walk);
  if (!walk.refused.empty()) fail(ExitCode::io, "{}:{}", place, walk.refused);
  std::sort(walk.datasets.begin(), walk.datasets.end());
  return walk.datasets;
}

}  // namespace moray::hdf5
