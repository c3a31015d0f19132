// Call one function of `kernel.cpp` with arguments from a file, and write the data that they point to back.
//
// The file holds the name's first letter and the number of threads; the structs; and, for each of their pointers in
// order, the number of bytes, 0 for null, and these bytes.

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernel.cpp"

static void read(FILE* file, void* to, std::size_t bytes) {
    if (std::fread(to, 1, bytes, file) != bytes) std::abort();
}

// Allocate exactly so many bytes, so that a sanitizer sees the first one beyond them.
static void* allocate(std::size_t bytes) {
    void* start = nullptr;
    if (posix_memalign(&start, 64, bytes) != 0) std::abort();
    return start;
}

int main(int, char** paths) {
    FILE* file = std::fopen(paths[1], "rb");
    std::int64_t head[2];
    Stack stack;
    Steps steps;
    read(file, head, sizeof head), read(file, &stack, sizeof stack), read(file, &steps, sizeof steps);
    std::vector<std::pair<void*, std::int64_t>> data;
    const auto fill = [&](auto* pointers, int count) {
        for (int i = 0; i < count; ++i) {
            std::int64_t bytes;
            read(file, &bytes, sizeof bytes);
            void* start = bytes == 0 ? nullptr : allocate(bytes);
            if (bytes > 0) read(file, start, bytes);
            std::memcpy(pointers + i, &start, sizeof start);
            data.emplace_back(start, bytes);
        }
    };
    fill(&stack.theta, (sizeof stack - offsetof(Stack, theta)) / sizeof(void*)), fill(&steps.rates, 3);
    const std::size_t needed = head[1] * workspace_of_a_thread(&stack) * sizeof(Real);
    Real* workspace = static_cast<Real*>(allocate(needed));
    std::memset(workspace, 255, needed);  // NaN
    if (head[0] == 'a')
        adam(&stack, &steps, workspace, head[1]);
    else
        loss_and_gradient(&stack, workspace, head[1]);
    file = std::fopen(paths[1], "wb");
    for (const auto& [start, bytes] : data) {
        if (bytes > 0) std::fwrite(start, 1, bytes, file);
        std::free(start);
    }
    std::free(workspace);
    return std::fclose(file);
}
