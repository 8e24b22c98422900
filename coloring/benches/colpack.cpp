// ColPack as a server: colors patterns on request, reports milliseconds, and checks colorings by counting paths and cycles.
//
// One request a line on standard input, one reply a line on standard output, beginning with "reply".
//   load FILE                  binary: m, n, row_ptr[m + 1], col_idx[], all 32 bits
//   color KIND ORDER FILE      KIND D2, star or acyclic; the colors, from 1, go into FILE (32 bits each); reply: count, ms
//   check KIND FILE            reply: 1 where the colors in FILE are a coloring of that kind
// The time is that of ordering and coloring; building ColPack's graph from memory comes before it.
#include <ColPack/ColPackHeaders.h>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <numeric>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

struct Matrix {
    int m = 0, n = 0;
    std::vector<int> ptr, idx;
    std::vector<std::vector<unsigned>> rows;  // each: length, columns
    std::vector<unsigned *> heads;

    bool load(const std::string &path) {
        std::ifstream in(path, std::ios::binary);
        int size[2];
        if (!in.read(reinterpret_cast<char *>(size), 8)) return false;
        m = size[0];
        n = size[1];
        ptr.assign(m + 1, 0);
        in.read(reinterpret_cast<char *>(ptr.data()), 4 * static_cast<std::streamsize>(m + 1));
        idx.assign(ptr[m], 0);
        in.read(reinterpret_cast<char *>(idx.data()), 4 * static_cast<std::streamsize>(ptr[m]));
        rows.assign(m, {});
        heads.clear();
        for (int i = 0; i < m; ++i) {
            rows[i].push_back(ptr[i + 1] - ptr[i]);
            rows[i].insert(rows[i].end(), idx.begin() + ptr[i], idx.begin() + ptr[i + 1]);
            heads.push_back(rows[i].data());
        }
        return static_cast<bool>(in);
    }
};

template <class Color> double timed(Color color) {
    const auto start = std::chrono::steady_clock::now();
    color();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

static double color(Matrix &a, const std::string &kind, const std::string &order, std::vector<int> &colors) {
    double ms = 0;
    if (kind == "D2") {
        ColPack::BipartiteGraphPartialColoringInterface graph(SRC_MEM_ADOLC, a.heads.data(), a.m, a.n);
        ms = timed([&] { graph.PartialDistanceTwoColoring(order, "COLUMN_PARTIAL_DISTANCE_TWO"); });
        graph.GetVertexPartialColors(colors);
    } else {
        ColPack::GraphColoringInterface graph(SRC_MEM_ADOLC, a.heads.data(), a.n);
        const char *variant = kind == "star" ? "STAR" : "ACYCLIC_FOR_INDIRECT_RECOVERY";
        ms = timed([&] { graph.Coloring(order, variant); });
        graph.GetVertexColors(colors);
    }
    for (int &c : colors) ++c;
    return ms;
}

// Columns that share a row differ.
static bool is_distance2(const Matrix &a, const std::vector<int> &colors) {
    std::map<int, int> seen;
    for (int i = 0; i < a.m; ++i) {
        seen.clear();
        for (int k = a.ptr[i]; k < a.ptr[i + 1]; ++k)
            if (seen[colors[a.idx[k]]]++) return false;
    }
    return true;
}

static bool is_proper(const Matrix &a, const std::vector<int> &colors) {
    for (int i = 0; i < a.m; ++i)
        for (int k = a.ptr[i]; k < a.ptr[i + 1]; ++k)
            if (a.idx[k] != i && colors[i] == colors[a.idx[k]]) return false;
    return true;
}

// Neighbors differ, and no path of four vertices has two colors: an edge between two vertices with further neighbors of
// each other's color.
static bool is_star(const Matrix &a, const std::vector<int> &colors) {
    if (!is_proper(a, colors)) return false;
    std::map<std::pair<int, int>, int> near;  // (vertex, color): neighbors
    for (int i = 0; i < a.m; ++i)
        for (int k = a.ptr[i]; k < a.ptr[i + 1]; ++k)
            if (a.idx[k] != i) ++near[{i, colors[a.idx[k]]}];
    for (int i = 0; i < a.m; ++i)
        for (int k = a.ptr[i]; k < a.ptr[i + 1]; ++k) {
            const int j = a.idx[k];
            if (j > i && near[{i, colors[j]}] > 1 && near[{j, colors[i]}] > 1) return false;
        }
    return true;
}

// Neighbors differ, and the edges between two colors form no cycle.
static bool is_acyclic(const Matrix &a, const std::vector<int> &colors) {
    if (!is_proper(a, colors)) return false;
    std::vector<std::pair<std::pair<int, int>, std::pair<int, int>>> edges;
    for (int i = 0; i < a.m; ++i)
        for (int k = a.ptr[i]; k < a.ptr[i + 1]; ++k)
            if (a.idx[k] > i) edges.push_back({std::minmax({colors[i], colors[a.idx[k]]}), {i, a.idx[k]}});
    std::sort(edges.begin(), edges.end());
    std::vector<int> parent(a.n);
    std::iota(parent.begin(), parent.end(), 0);
    const auto root = [&](int v) {
        while (parent[v] != v) v = parent[v] = parent[parent[v]];
        return v;
    };
    for (std::size_t first = 0; first < edges.size();) {
        std::size_t last = first;
        bool is_cycle = false;
        for (; last < edges.size() && edges[last].first == edges[first].first; ++last) {
            const int u = root(edges[last].second.first), v = root(edges[last].second.second);
            is_cycle |= u == v;
            parent[u] = v;
        }
        if (is_cycle) return false;
        for (; first < last; ++first) {
            parent[edges[first].second.first] = edges[first].second.first;
            parent[edges[first].second.second] = edges[first].second.second;
        }
    }
    return true;
}

int main() {
    Matrix a;
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        std::string request, kind, order, file;
        words >> request;
        if (request == "load") {
            words >> file;
            std::printf("\nreply %d\n", a.load(file) ? 1 : 0);
        } else if (request == "color") {
            words >> kind >> order >> file;
            std::vector<int> colors;
            const double ms = color(a, kind, order, colors);
            colors.resize(a.n, 0);  // columns without entries may be left out
            std::ofstream(file, std::ios::binary)
                .write(reinterpret_cast<const char *>(colors.data()), 4 * static_cast<std::streamsize>(colors.size()));
            const int count = colors.empty() ? 0 : *std::max_element(colors.begin(), colors.end());
            std::printf("\nreply %d %.6f\n", count, ms);
        } else if (request == "check") {
            words >> kind >> file;
            std::vector<int> colors(a.n);
            std::ifstream in(file, std::ios::binary);
            const bool whole = static_cast<bool>(
                in.read(reinterpret_cast<char *>(colors.data()), 4 * static_cast<std::streamsize>(a.n)));
            const bool positive = std::all_of(a.idx.begin(), a.idx.end(), [&](int j) { return colors[j] > 0; });
            const bool right = kind == "D2" ? is_distance2(a, colors)
                                            : kind == "star" ? is_star(a, colors) : is_acyclic(a, colors);
            std::printf("\nreply %d\n", whole && positive && right ? 1 : 0);
        }
        std::fflush(stdout);
    }
}
