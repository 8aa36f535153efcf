#include "io/hdf5.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace moray::hdf5 {
namespace {

/// Innermost entry of the error stack: what really happened.
herr_t innermost(unsigned, const H5E_error2_t* entry, void* text) {
  *static_cast<std::string*>(text) =
      fmt::format("{} (in {})", entry->desc == nullptr ? "" : entry->desc, entry->func_name);
  return 1;  // stops: the walk begins at the innermost
}

/// Once per process: no printing, no filter plug-ins.
void prepare() {
  static const bool ready = [] {
    H5open();
    H5PLset_loading_state(0);
    return true;
  }();
  static_cast<void>(ready);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Handle access_properties(const std::string& path) {
  Handle access(MORAY_HDF5(H5Pcreate, path, H5P_FILE_ACCESS), H5Pclose);
  MORAY_HDF5(H5Pset_libver_bounds, path, access, H5F_LIBVER_V18, H5F_LIBVER_V18);
#if H5_VERSION_GE(1, 12, 1) || (H5_VERSION_GE(1, 10, 7) && !H5_VERSION_GE(1, 12, 0))
  // Locks of the file system fail on many parallel ones; run folders have their own lock.
  MORAY_HDF5(H5Pset_file_locking, path, access, false, true);
#endif
  return access;
}

Handle bfloat16_type() {
  // 1 sign bit, 8 exponent bits with bias 127, 7 bits of mantissa: the upper half of a float32.
  Handle type(MORAY_HDF5(H5Tcopy, "bfloat16", H5T_IEEE_F32LE), H5Tclose);
  MORAY_HDF5(H5Tset_fields, "bfloat16", type, 15, 7, 8, 0, 7);
  MORAY_HDF5(H5Tset_precision, "bfloat16", type, 16);
  MORAY_HDF5(H5Tset_size, "bfloat16", type, 2);
  MORAY_HDF5(H5Tset_ebias, "bfloat16", type, 127);
  return type;
}

}  // namespace

void throw_error(const char* call, const std::string& place) {
  std::string cause;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &cause);
  fail(ExitCode::io, "{}: {} failed: {}", place, call,
       cause.empty() ? "HDF5 gives no reason" : cause);
}

Handle create_file(const std::string& path) {
  prepare();
  const Handle access = access_properties(path);
  Handle creation(MORAY_HDF5(H5Pcreate, path, H5P_FILE_CREATE), H5Pclose);
  MORAY_HDF5(H5Pset_obj_track_times, path, creation, false);  // of the root group
  // Tensors begin at multiples of 4 KiB, so that direct and striped writes are aligned.
  MORAY_HDF5(H5Pset_alignment, path, access, 65536, 4096);
  return {MORAY_HDF5(H5Fcreate, path, path.c_str(), H5F_ACC_EXCL, creation, access), H5Fclose};
}

Handle open_file(const std::string& path) {
  prepare();
  const Handle access = access_properties(path);
  return {MORAY_HDF5(H5Fopen, path, path.c_str(), H5F_ACC_RDONLY, access), H5Fclose};
}

Handle file_type(Dtype dtype) {
  prepare();
  const auto copy = [](hid_t of) { return Handle(MORAY_HDF5(H5Tcopy, "type", of), H5Tclose); };
  switch (dtype) {
    case Dtype::float32:
      return copy(H5T_IEEE_F32LE);
    case Dtype::float64:
      return copy(H5T_IEEE_F64LE);
    case Dtype::uint8:
      return copy(H5T_STD_U8LE);
    case Dtype::int64:
      return copy(H5T_STD_I64LE);
    case Dtype::bfloat16:
      break;
  }
  return bfloat16_type();
}

Handle string_type(std::size_t size) {
  prepare();
  Handle type(MORAY_HDF5(H5Tcopy, "string", H5T_C_S1), H5Tclose);
  MORAY_HDF5(H5Tset_size, "string", type, std::max<std::size_t>(size, 1));
  MORAY_HDF5(H5Tset_strpad, "string", type, H5T_STR_NULLPAD);
  MORAY_HDF5(H5Tset_cset, "string", type, H5T_CSET_UTF8);
  return type;
}

Handle space(const std::vector<std::int64_t>& shape) {
  prepare();
  if (shape.empty()) return {MORAY_HDF5(H5Screate, "scalar", H5S_SCALAR), H5Sclose};
  const std::vector<hsize_t> extents(shape.begin(), shape.end());
  const int rank = static_cast<int>(shape.size());
  return {MORAY_HDF5(H5Screate_simple, "space", rank, extents.data(), nullptr), H5Sclose};
}

Handle contiguous() {
  Handle creation(MORAY_HDF5(H5Pcreate, "dataset", H5P_DATASET_CREATE), H5Pclose);
  MORAY_HDF5(H5Pset_layout, "dataset", creation, H5D_CONTIGUOUS);
  MORAY_HDF5(H5Pset_alloc_time, "dataset", creation, H5D_ALLOC_TIME_EARLY);
  MORAY_HDF5(H5Pset_fill_time, "dataset", creation, H5D_FILL_TIME_NEVER);
  MORAY_HDF5(H5Pset_obj_track_times, "dataset", creation, false);
  return creation;
}

void make_groups(hid_t file, const std::string& name, const std::string& place) {
  const Handle creation(MORAY_HDF5(H5Pcreate, place, H5P_GROUP_CREATE), H5Pclose);
  MORAY_HDF5(H5Pset_obj_track_times, place, creation, false);
  for (std::size_t slash = name.find('/'); slash != std::string::npos;
       slash = name.find('/', slash + 1)) {
    const std::string group = name.substr(0, slash);
    if (MORAY_HDF5(H5Lexists, place, file, group.c_str(), H5P_DEFAULT) > 0) continue;
    const Handle made(
        MORAY_HDF5(H5Gcreate2, place, file, group.c_str(), H5P_DEFAULT, creation, H5P_DEFAULT),
        H5Gclose);
  }
}

Handle create_dataset(hid_t file, const std::string& name, hid_t type, hid_t space,
                      const std::string& place) {
  const Handle creation = contiguous();
  return {MORAY_HDF5(H5Dcreate2, fmt::format("{}:{}", place, name), file, name.c_str(), type, space,
                     H5P_DEFAULT, creation, H5P_DEFAULT),
          H5Dclose};
}

void write_attribute(hid_t object, const Attribute& attribute, const std::string& place) {
  const std::string where = fmt::format("{}@{}", place, attribute.name);
  const void* value = nullptr;
  Handle file_side;
  hid_t memory_side = -1;
  if (const auto* integer = std::get_if<std::int64_t>(&attribute.value)) {
    file_side = file_type(Dtype::int64);
    memory_side = H5T_NATIVE_INT64;
    value = integer;
  } else if (const auto* real = std::get_if<double>(&attribute.value)) {
    file_side = file_type(Dtype::float64);
    memory_side = H5T_NATIVE_DOUBLE;
    value = real;
  } else {
    const auto& text = std::get<std::string>(attribute.value);
    file_side = string_type(text.size());
    memory_side = file_side;
    value = text.c_str();  // its final zero is the one byte of an empty text
  }
  const Handle scalar = space({});
  const Handle made(MORAY_HDF5(H5Acreate2, where, object, attribute.name.c_str(), file_side, scalar,
                               H5P_DEFAULT, H5P_DEFAULT),
                    H5Aclose);
  MORAY_HDF5(H5Awrite, where, made, memory_side, value);
}

AttributeValue read_attribute(hid_t object, const std::string& name, const std::string& place) {
  const std::string where = fmt::format("{}@{}", place, name);
  const Handle attribute(MORAY_HDF5(H5Aopen, where, object, name.c_str(), H5P_DEFAULT), H5Aclose);
  const Handle type(MORAY_HDF5(H5Aget_type, where, attribute), H5Tclose);
  const Handle extent(MORAY_HDF5(H5Aget_space, where, attribute), H5Sclose);
  if (H5Sget_simple_extent_type(extent) != H5S_SCALAR)
    fail(ExitCode::io, "{}: is not a scalar", where);
  if (H5Tequal(type, file_type(Dtype::int64)) > 0) {
    std::int64_t value = 0;
    MORAY_HDF5(H5Aread, where, attribute, H5T_NATIVE_INT64, &value);
    return value;
  }
  if (H5Tequal(type, file_type(Dtype::float64)) > 0) {
    double value = 0;
    MORAY_HDF5(H5Aread, where, attribute, H5T_NATIVE_DOUBLE, &value);
    return value;
  }
  if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0)
    fail(ExitCode::io, "{}: is neither int64, float64 nor a fixed-length string", where);
  std::string text(H5Tget_size(type), '\0');
  MORAY_HDF5(H5Aread, where, attribute, type, text.data());
  text.resize(text.find_last_not_of('\0') + 1);
  return text;
}

}  // namespace moray::hdf5
