// What the program's own symbol table calls an address. A kernel in an unnamed namespace has no name that another file could use.
#pragma once

#include <optional>
#include <string>

namespace mlit::emulation {

struct Symbol {
  std::string name;  // mangled
  std::string file;  // of a local symbol: its source file's name, without folders
};
std::optional<Symbol> symbolAt(const void* function);

}  // namespace mlit::emulation
