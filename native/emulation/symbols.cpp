#include "emulation/symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <unordered_map>

extern "C" const char __ehdr_start;  // NOLINT: the linker's name

namespace mlit::emulation {

namespace {

using Symbols = std::unordered_map<uint64_t, Symbol>;

// Every function of the table; local symbols follow that of their file.
Symbols symbolsOf(const char* elf) {
  Symbols symbols;
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(elf);
  const auto* sections = reinterpret_cast<const Elf64_Shdr*>(elf + header->e_shoff);
  for (int i = 0; i < header->e_shnum; ++i) {
    if (sections[i].sh_type != SHT_SYMTAB) continue;
    const char* names = elf + sections[sections[i].sh_link].sh_offset;
    const auto* table = reinterpret_cast<const Elf64_Sym*>(elf + sections[i].sh_offset);
    std::string file;
    for (size_t s = 0; s < sections[i].sh_size / sizeof(Elf64_Sym); ++s) {
      const char* name = names + table[s].st_name;
      const int type = ELF64_ST_TYPE(table[s].st_info);
      const bool local = ELF64_ST_BIND(table[s].st_info) == STB_LOCAL;
      if (type == STT_FILE) file = name;
      if (type == STT_FUNC && table[s].st_value != 0) symbols[table[s].st_value] = {name, local ? file : ""};
    }
  }
  return symbols;
}

Symbols ownSymbols() {
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) return {};
  const auto bytes = static_cast<size_t>(status.st_size);
  void* memory = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (memory == MAP_FAILED) return {};
  Symbols symbols = symbolsOf(static_cast<const char*>(memory));
  munmap(memory, bytes);
  return symbols;
}

}  // namespace

std::optional<Symbol> symbolAt(const void* function) {
  static const Symbols symbols = ownSymbols();
  const auto found = symbols.find(static_cast<uint64_t>(static_cast<const char*>(function) - &__ehdr_start));
  if (found == symbols.end()) return std::nullopt;
  return found->second;
}

}  // namespace mlit::emulation
