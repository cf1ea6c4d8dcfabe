"""How LibTorch is found and brought, on stand-ins a few kilobytes large: `test_finder.py TOOLCHAIN`."""

import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
import zipfile

import tool

TOOLCHAIN = None

# Stands in for `python -m pip download ... -d DIR name==version...`: copies wheels from a folder, and counts its calls.
FAKE_PIP = """#!/bin/sh
[ "$3" = --version ] && exit 0
echo call >> "{calls}"
{before}
while [ "$1" != -d ]; do shift; done
to=$2
shift 2
for requirement; do cp "{wheels}"/$(echo "$requirement" | sed 's/-/_/g; s/==/-/')-*.whl "$to"/ || exit 1; done
"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class Bring(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.wheels = self.directory / "wheels"
        self.cache = self.directory / "cache" / "tacit"
        self.root = self.cache / "libtorch-2.11.0"
        self.calls = self.directory / "calls"
        self.pins = self.wheel("torch", "2.11.0", {
            "torch/lib/libtorch_cpu.so": "cpu" * 1000, "torch/lib/libc10.so": "c10", "torch/lib/libtorch_python.so": "python",
            "torch/include/ATen/ATen.h": "", "torch/include/torch/csrc/api/include/torch/torch.h": "", "torch/nn.py": ""})
        self.pins += self.wheel("nvidia-cuda-runtime", "13.0.96", {"nvidia/cu13/lib/libcudart.so.13": "rt"})
        self.cuda_pins = self.wheel("nvidia-nccl-cu13", "2.28.9", {"nvidia/nccl/lib/libnccl.so.2": "nccl"})
        self.pip()

    def wheel(self, name, version, members):
        self.wheels.mkdir(exist_ok=True)
        path = self.wheels / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for member, text in members.items():
                archive.writestr(member, text)
        return [f"{name}=={version}", hashlib.sha256(path.read_bytes()).hexdigest()]

    def pip(self, before="", name="python"):
        path = write(self.directory / name, FAKE_PIP.format(calls=self.calls, wheels=self.wheels, before=before))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        self.python = path
        return path

    def command(self, cuda=False, pythons=None):
        return [TOOLCHAIN.cmake, f"-DMODULES={TOOLCHAIN.source}/include/tacit/cmake", f"-DPINS={';'.join(self.pins)}",
                f"-DCUDA_PINS={';'.join(self.cuda_pins)}", f"-DCUDA={'TRUE' if cuda else 'FALSE'}",
                f"-DTACIT_PYTHON={';'.join(map(str, pythons or [self.python]))}", "-P",
                str(TOOLCHAIN.source / "tests" / "cmake" / "bring.cmake")]

    def bring(self, **arguments):
        return tool.run(self.command(**arguments), environment={"XDG_CACHE_HOME": str(self.directory / "cache")})

    def times_called(self):
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

    def assert_whole(self):
        self.assertEqual((self.root / "torch/lib/libtorch_cpu.so").read_text(), "cpu" * 1000)
        self.assertTrue((self.root / "nvidia/cu13/lib/libcudart.so.13").exists())
        self.assertEqual(sorted(p.name for p in self.cache.iterdir()), ["libtorch-2.11.0", "libtorch.lock"])

    def test_empty_cache_is_filled_once(self):
        result = self.bring()
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn(f"root: {self.root}/torch", result.stdout)
        self.assert_whole()
        self.assertFalse((self.root / "torch/lib/libtorch_python.so").exists())
        self.assertFalse((self.root / "torch/nn.py").exists())
        self.bring()
        self.assertEqual(self.times_called(), 1)

    def test_cache_without_manifest_is_made_again(self):
        write(self.root / "torch/lib/libtorch_cpu.so", "half")
        self.assertEqual(self.bring().returncode, 0)
        self.assert_whole()

    def test_truncated_library_is_noticed(self):
        self.bring()
        (self.root / "torch/lib/libtorch_cpu.so").write_text("cpu")
        result = self.bring()
        self.assertIn("is not whole", result.stdout)
        self.assert_whole()

    def test_cut_manifest_and_missing_library_are_noticed(self):
        for damage in (lambda: (self.root / "manifest.txt").write_text((self.root / "manifest.txt").read_text()[:-6]),
                       lambda: (self.root / "manifest.txt").write_text(""),
                       lambda: (self.root / "nvidia/cu13/lib/libcudart.so.13").unlink()):
            self.bring()
            damage()
            self.assertIn("is not whole", self.bring().stdout)
            self.assert_whole()

    def test_other_pins_are_another_cache(self):
        self.bring()
        self.pins = self.pins[:2] + self.wheel("nvidia-cuda-runtime", "13.0.97", {"nvidia/cu13/lib/libcudart.so.13": "new"})
        self.assertEqual(self.bring().returncode, 0)
        self.assertEqual((self.root / "nvidia/cu13/lib/libcudart.so.13").read_text(), "new")

    def test_leftovers_of_an_interrupted_configure_are_removed(self):
        write(self.cache / "libtorch-2.11.0.new/torch/lib/libjunk.so", "junk")
        write(self.cache / "downloads-2.11.0/torch-2.11.0-py3-none-any.whl", "cut short")
        result = self.bring()
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("damaged", result.stdout)
        self.assert_whole()
        self.assertFalse((self.root / "torch/lib/libjunk.so").exists())

    def test_whole_downloads_are_used_again(self):
        (self.cache / "downloads-2.11.0").mkdir(parents=True)
        for wheel in self.wheels.iterdir():
            shutil.copy(wheel, self.cache / "downloads-2.11.0")
        self.assertEqual(self.bring().returncode, 0)
        self.assertEqual(self.times_called(), 0)

    def test_wrong_hash_is_refused(self):
        self.pins[1] = "0" * 64
        result = self.bring()
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"does not have the\s+pinned SHA256")
        self.assertFalse(self.root.exists())

    def test_failing_pip_is_quoted_and_the_next_python_is_asked(self):
        bad = self.pip("echo 'No matching distribution'; exit 1", "bad")
        result = self.bring(pythons=[bad])
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("No matching distribution", result.stdout)
        self.assertFalse(self.root.exists())
        self.assertEqual(self.bring(pythons=[bad, self.pip()]).returncode, 0)
        self.assert_whole()

    def test_python_without_pip_is_named(self):
        none = write(self.directory / "none", "#!/bin/sh\nexit 1\n")
        none.chmod(0o755)
        result = self.bring(pythons=[none])
        self.assertIn("has no pip", result.stdout)

    def test_two_configures_at_once(self):
        self.pip("sleep 0.5")
        environment = dict(os.environ, XDG_CACHE_HOME=str(self.directory / "cache"))
        both = [subprocess.Popen(self.command(), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for _ in range(3)]
        outputs = [p.communicate()[0] for p in both]
        self.assertEqual([p.returncode for p in both], [0, 0, 0], outputs)
        self.assertEqual(self.times_called(), 1)
        self.assertEqual(sum("waiting" in output for output in outputs), 2)
        self.assert_whole()

    def test_killed_while_unpacking(self):
        self.pip("sleep 3; exit 1")
        process = subprocess.Popen(self.command(), env=dict(os.environ, XDG_CACHE_HOME=str(self.directory / "cache")),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while self.times_called() == 0:
            self.assertIsNone(process.poll())
        process.kill()
        process.wait()
        self.pip()
        self.assertEqual(self.bring().returncode, 0)
        self.assert_whole()

    def test_cuda_cache_shares_the_plain_one(self):
        self.bring()
        result = self.bring(cuda=True)
        self.assertEqual(result.returncode, 0, result.stdout)
        cuda = self.cache / "libtorch-2.11.0-cuda"
        self.assertTrue((cuda / "nvidia/nccl/lib/libnccl.so.2").exists())
        self.assertTrue((cuda / "torch/lib/libtorch_cpu.so").samefile(self.root / "torch/lib/libtorch_cpu.so"))
        self.assertFalse((self.root / "nvidia/nccl").exists())

    def test_place_that_cannot_be_written(self):
        write(self.directory / "cache", "a file")
        result = self.bring()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("XDG_CACHE_HOME", result.stdout)


class Find(unittest.TestCase):
    """The order of places, without any network: an empty cache, and stand-ins for the packages."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        none = write(self.directory / "python", "#!/bin/sh\nexit 1\n")
        none.chmod(0o755)
        self.python = none

    def package(self, name, version="2.11.0", abi="__cxx11"):
        root = self.directory / name
        write(root / "lib/libtorch_cpu.so", "")
        write(root / "lib/libc10.so", abi)
        major, minor, patch = version.split(".")
        write(root / "include/torch/headeronly/version.h",
              f"#define TORCH_VERSION_MAJOR {major}\n#define TORCH_VERSION_MINOR {minor}\n#define TORCH_VERSION_PATCH {patch}\n")
        return root

    def find(self, *arguments, before="", environment=None):
        project = self.directory / "project"
        shutil.rmtree(project / "build", ignore_errors=True)
        write(project / "CMakeLists.txt", f"""cmake_minimum_required(VERSION 3.22)
project(p LANGUAGES CXX)
{before}
list(APPEND CMAKE_MODULE_PATH "{TOOLCHAIN.source}/include/tacit/cmake")
find_package(LibTorch REQUIRED)
message(STATUS "root: ${{LibTorch_ROOT_DIRECTORY}}, version: ${{LibTorch_VERSION}}")
get_target_property(links tacit::libtorch INTERFACE_LINK_LIBRARIES)
message(STATUS "links: ${{links}}")
""")
        return tool.run([TOOLCHAIN.cmake, "-G", TOOLCHAIN.generator, "-S", project, "-B", project / "build",
                         f"-DCMAKE_CXX_COMPILER={next(iter(TOOLCHAIN.compilers.values()))}", f"-DTACIT_PYTHON={self.python}",
                         *arguments],
                        environment={"XDG_CACHE_HOME": str(self.directory / "cache"), "CMAKE_PREFIX_PATH": "",
                                     **(environment or {})})

    def assert_root(self, result, root):
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn(f"root: {root}, version: 2.11.0", result.stdout)

    def test_named_directory_in_all_layouts(self):
        root = self.package("site-packages/torch")
        for spelling in (root, root.parent, root / "share/cmake", root / "share/cmake/Torch"):
            self.assert_root(self.find(f"-DTACIT_LIBTORCH={spelling}"), root)

    def test_named_directory_wins_and_is_not_replaced(self):
        root = self.package("a")
        other = self.package("b")
        self.assert_root(self.find(f"-DTACIT_LIBTORCH={root}", f"-DCMAKE_PREFIX_PATH={other}"), root)
        result = self.find(f"-DTACIT_LIBTORCH={self.directory}/nothing", f"-DCMAKE_PREFIX_PATH={other}")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("TACIT_LIBTORCH=", result.stdout)
        self.assertIn("Ways out", result.stdout)

    def test_prefix_path_and_its_environment(self):
        root = self.package("libtorch")
        self.assert_root(self.find(f"-DCMAKE_PREFIX_PATH=/nowhere;{root}"), root)
        self.assert_root(self.find(f"-DCMAKE_PREFIX_PATH={self.directory}"), root)
        self.assert_root(self.find(environment={"CMAKE_PREFIX_PATH": f"/nowhere:{root}"}), root)

    def test_python_package(self):
        root = self.package("site/torch")
        self.python = write(self.directory / "python", f"#!/bin/sh\nprintf '{self.directory}/namespace;{root}'\n")
        self.python.chmod(0o755)
        self.assert_root(self.find(), root)

    def test_too_old_and_old_abi_are_passed_over_with_the_reason(self):
        old, abi, good = self.package("old", "2.4.1"), self.package("abi", abi=""), self.package("good")
        self.assert_root(self.find(f"-DCMAKE_PREFIX_PATH={old};{abi};{good}"), good)
        self.assertIn("is LibTorch 2.4.1", self.find(f"-DTACIT_LIBTORCH={old}").stdout)
        self.assertIn("old C++ ABI", self.find(f"-DTACIT_LIBTORCH={abi}").stdout)

    def test_target_of_the_build_is_used_as_it_is(self):
        result = self.find(f"-DTACIT_LIBTORCH={self.package('a')}", before="add_library(torch_cpu INTERFACE)")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("links: torch_cpu", result.stdout)

    def test_nothing_anywhere(self):
        result = self.find()
        self.assertNotEqual(result.returncode, 0)
        for words in ("TACIT_LIBTORCH: not set", "CMAKE_PREFIX_PATH: empty", "no package torch", "not there, or not whole",
                      "only when Tacit itself is the top-level", "Ways out"):
            self.assertIn(words, result.stdout)

    def test_no_cache_variable_is_set(self):
        self.find(f"-DTACIT_LIBTORCH={self.package('a')}")
        cache = (self.directory / "project/build/CMakeCache.txt").read_text()
        ours = [line for line in cache.splitlines() if "torch" in line.lower().split("=")[0] or line.startswith("TACIT")]
        self.assertEqual([line.split(":")[0] for line in ours], ["TACIT_LIBTORCH", "TACIT_PYTHON"])


if __name__ == "__main__":
    TOOLCHAIN = tool.Toolchain(sys.argv.pop(1))
    unittest.main(verbosity=2)
