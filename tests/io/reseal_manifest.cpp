// Makes a changed manifest right in itself, as its writer would have: reseal_manifest FILE, on standard
// input the text without its last line. For tests of what a reader says to versions that are not there yet.
#include <cstdio>
#include <iostream>
#include <iterator>

#include "io/digest.hpp"
#include "io/files.hpp"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string body{std::istreambuf_iterator<char>(std::cin), {}};
  moray::replace_text(argv[1], body + "\n\"digest\":\"" + moray::digest_of(body).hex() + "\"}\n");
  return 0;
}
