"""Tables and archives of every kind load to the same images; a mistake is named with its place."""

import gzip
import io
import struct
from zipfile import ZipFile

import numpy as np
import pandas
import pytest
from PIL import Image
from scipy.io import savemat

from conftest import write_idx_part
from mnist_exp.data import file, idx, load
from mnist_exp.errors import UserError


@pytest.fixture(scope="module")
def made():
    """Images and labels of both parts: 40 and 20 of 6x6 pixels, four classes."""
    rng = np.random.default_rng(5)
    return {
        part: (rng.integers(0, 256, (n, 6, 6), np.uint8), np.arange(n) % 4)
        for part, n in (("train", 40), ("test", 20))
    }


@pytest.fixture(scope="module")
def expected(made, tmp_path_factory):
    """The hashes of the same images as IDX files."""
    folder = tmp_path_factory.mktemp("idx")
    for part, (images, labels) in made.items():
        write_idx_part(folder, {"test": "t10k"}.get(part, part), images, labels)
    return hashes(load(idx(folder)))


def hashes(dataset):
    return dataset.train.sha256, dataset.test.sha256


def flat(images):
    return images.reshape(len(images), -1)


def write_csv(path, images, labels, header=True, last=False, delimiter=","):
    columns = [labels[:, None], flat(images)]
    names = ["label", *(f"pixel{i}" for i in range(flat(images).shape[1]))]
    if last:
        columns, names = columns[::-1], [*names[1:], names[0]]
    lines = [delimiter.join(map(str, row)) for row in np.hstack(columns).tolist()]
    text = "\n".join([delimiter.join(names)] * header + lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def csv(name="{}.csv", **options):
    def write(folder, made):
        for part, pair in made.items():
            write_csv(folder / name.format(part), *pair, **options)

    return write


def npz(keys, change=lambda images: images):
    def write(folder, made):
        values = [array for images, labels in made.values() for array in (change(images), labels)]
        np.savez_compressed(folder / "both.npz", **dict(zip(keys.split(), values, strict=True)))

    return write


def npz_of_each_part(folder, made):
    for part, (images, labels) in made.items():
        np.savez(folder / f"kmnist-{part}-imgs.npz", images)
        np.savez(folder / f"kmnist-{part}-labels.npz", labels)


def npy_pairs(folder, made):
    for part, (images, labels) in made.items():
        np.save(folder / f"x_{part}.npy", images)
        np.save(folder / f"y_{part}.npy", labels)


def npz_with_one_hot_labels_and_a_note(folder, made):
    with_columns = {part: (images, np.eye(4)[labels]) for part, (images, labels) in made.items()}
    npz("x_train y_train x_test y_test")(folder, with_columns)
    with ZipFile(folder / "both.npz", "a") as archive:
        archive.writestr("README.txt", "made by hand")


def colours(images):
    return np.repeat(np.float32(images)[:, None] / 255, 3, axis=1)


def emnist_mat(folder, made):
    parts = {
        part: {"images": flat(images.swapaxes(1, 2)), "labels": labels[:, None].astype(float)}
        for part, (images, labels) in made.items()
    }
    mapping = np.array([[i, 48 + i] for i in range(4)])
    savemat(folder / "emnist-digits.mat", {"dataset": parts | {"mapping": mapping}})


def svhn_mat(folder, made):
    for part, (images, labels) in made.items():
        colours = np.repeat(images.transpose(1, 2, 0)[:, :, None], 3, axis=2)
        labels = np.where(labels == 0, 10, labels)[:, None]
        savemat(folder / f"{part}_32x32.mat", {"X": colours, "y": labels})


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def parquet_of_pictures(struct_of_bytes):
    def write(folder, made):
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        for part, (images, labels) in made.items():
            cells = [png(image) for image in images]
            cells = [{"bytes": cell, "path": None} for cell in cells] if struct_of_bytes else cells
            for shard, rows in enumerate((slice(0, 10), slice(10, None))):
                table = pa.table({"image": cells[rows], "label": labels[rows]})
                parquet.write_table(table, folder / f"{part}-0000{shard}-of-00002.parquet")

    return write


def parquet_of_pixels(folder, made):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for part, (images, labels) in made.items():
        columns = {f"p{i}": column for i, column in enumerate(flat(images).T)}
        parquet.write_table(pa.table({"class": labels} | columns), folder / f"{part}.parquet")


def idx_with_a_prefix(folder, made):
    for part, (images, labels) in made.items():
        write_idx_part(folder, f"some-{part}", images, labels)


FORMATS = {
    "csv": csv(),
    "csv without a header": csv(header=False),
    "csv, label last": csv(last=True),
    "csv, label last, without a header": csv(last=True, header=False),
    "csv with semicolons": csv(delimiter=";"),
    "csv with tabs": csv("{}.tsv", delimiter="\t"),
    "csv with spaces": csv("{}.txt", delimiter=" "),
    "csv, packed": csv("mnist_{}.csv.gz"),
    "npz as Keras has it": npz("x_train y_train x_test y_test"),
    "npz as MedMNIST has it": npz("train_images train_labels test_images test_labels"),
    "npz with channels": npz("x_train y_train x_test y_test", lambda a: a[..., None]),
    "npz, flat": npz("X_train y_train X_test y_test", flat),
    "npz, 0 to 1": npz("x_train y_train x_test y_test", lambda a: np.float32(a) / 255),
    "npz, colours first, 0 to 1": npz("x_train y_train x_test y_test", colours),
    "npz with one-hot labels": npz_with_one_hot_labels_and_a_note,
    "npz of each part": npz_of_each_part,
    "npy pairs": npy_pairs,
    "mat as EMNIST has it": emnist_mat,
    "mat as SVHN has it": svhn_mat,
    "parquet of pictures": parquet_of_pictures(False),
    "parquet as data hubs have it": parquet_of_pictures(True),
    "parquet of pixels": parquet_of_pixels,
    "idx with a prefix": idx_with_a_prefix,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_loads_to_the_images_of_the_idx_files_and_again_from_the_cache(
    made, expected, tmp_path, name
):
    (folder := tmp_path / "data").mkdir()
    FORMATS[name](folder, made)
    for _ in range(2):
        dataset = load(file(folder, tmp_path / "cache"))
        assert hashes(dataset) == expected
        assert dataset.classes == ("0", "1", "2", "3")
    assert isinstance(dataset.train.images, np.memmap) or "parquet" in name


def test_one_file_is_split_and_its_label_column_may_be_named_by_the_user(made, tmp_path):
    write_csv(tmp_path / "train.csv", *made["train"])
    text = (tmp_path / "train.csv").read_text()
    (tmp_path / "odd.csv").write_text(text.replace("label,", "what,", 1))
    dataset = load(file(tmp_path / "train.csv", test_fraction=0.25))
    assert (len(dataset.train), len(dataset.test)) == (30, 10)
    odd = load(file(tmp_path / "odd.csv", test_fraction=0.25, label="what"))
    assert hashes(odd) == hashes(dataset)


def test_labels_may_be_words_and_rows_may_be_rectangles(tmp_path):
    rows = ["cat,0,1,2,3,4,5", "dog,5,4,3,2,1,0"] * 4
    (tmp_path / "pets.csv").write_text("\n".join(["animal,a,b,c,d,e,f", *rows]) + "\n")
    dataset = load(file(tmp_path / "pets.csv", shape=[2, 3]))
    assert dataset.classes == ("cat", "dog")
    assert dataset.train.images.shape[1:] == (2, 3)


def test_kaggles_folder_has_a_test_part_without_labels_and_a_sample_submission(
    made, tmp_path, caplog
):
    caplog.set_level("INFO")
    write_csv(tmp_path / "train.csv", *made["train"])
    lines = [",".join(map(str, row)) for row in flat(made["test"][0])]
    header = ",".join(f"pixel{i}" for i in range(36))
    (tmp_path / "test.csv").write_text("\n".join([header, *lines]))
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n2,0\n")
    assert len(load(file(tmp_path)).test) == 8
    assert "the test images have no labels" in caplog.text


def test_transposed_inverted_and_named(made, expected, tmp_path):
    turned = {part: (255 - a.swapaxes(1, 2), labels) for part, (a, labels) in made.items()}
    npz("x_train y_train x_test y_test")(tmp_path, turned)
    names = ["zero", "one", "two", "three"]
    dataset = load(file(tmp_path, transpose=True, invert=True, classes=names))
    assert hashes(dataset) == expected
    assert dataset.classes == tuple(names)
    with pytest.raises(UserError, match=r"dataset.classes has 2 names, but there are 4 classes"):
        load(file(tmp_path, classes=["a", "b"]))


def test_a_data_hub_names_the_classes(made, tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    images, labels = made["train"]
    names = b'{"info": {"features": {"label": {"names": ["zero", "one", "two", "three"]}}}}'
    table = pa.table({"image": [png(image) for image in images], "label": labels})
    parquet.write_table(table.replace_schema_metadata({b"huggingface": names}), tmp_path / "a.pq")
    assert load(file(tmp_path / "a.pq")).classes == ("zero", "one", "two", "three")


def edited(change):
    """A CSV file whose lines are changed."""

    def write(folder, made):
        write_csv(folder / "train.csv", *made["train"])
        lines = (folder / "train.csv").read_text().splitlines()
        (folder / "train.csv").write_text("\n".join(change(lines)) + "\n")

    return write


def line_17(change):
    return edited(lambda lines: [*lines[:16], change(lines[16]), *lines[17:]])


def content(name, raw):
    return lambda folder, made: (folder / name).write_bytes(raw)


def cut(write, share=0.5):
    """The same, with its files cut off."""

    def write_cut(folder, made):
        write(folder, made)
        for path in folder.iterdir():
            path.write_bytes(path.read_bytes()[: int(len(path.read_bytes()) * share)])

    return write_cut


def two_shapes(folder, made):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    cells = [png(made["train"][0][0]), png(np.zeros((9, 9), np.uint8))]
    parquet.write_table(pa.table({"image": cells, "label": [0, 1]}), folder / "train.parquet")


def npz_that_claims_a_terabyte(folder, made):
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)}
    np.lib.format.write_array_header_1_0(header, shape)
    np.savez(folder / "some.npz", y=np.arange(4))
    with ZipFile(folder / "some.npz", "a") as archive:
        archive.writestr("x.npy", header.getvalue())


def npz_of(**arrays):
    return lambda folder, made: np.savez(folder / "some.npz", **arrays)


MISTAKES = {
    r"train.csv: line 17, column 3: 'x' is no number": line_17(
        lambda line: ",".join([*line.split(",")[:2], "x", *line.split(",")[3:]])
    ),
    r"train.csv: line 17 has 36 columns, the lines before it 37": line_17(
        lambda line: line.rpartition(",")[0]
    ),
    r"train.csv: row 16 has the label -1.0; labels are whole numbers from 0": line_17(
        lambda line: "-1," + line.partition(",")[2]
    ),
    r"train.csv: row 16 has a pixel of 256": line_17(lambda line: line.rpartition(",")[0] + ",256"),
    r"train.csv: 35 pixels in a row make no square": edited(
        lambda lines: [line.rpartition(",")[0] for line in lines]
    ),
    r"train.csv.gz: damaged or truncated gzip data": cut(csv("{}.csv.gz")),
    r"both.npz: a damaged or truncated archive": cut(npz("x_train y_train x_test y_test")),
    r"y_train.npy: cannot be read": cut(npy_pairs),
    r"emnist-digits.mat: a damaged or truncated MAT file": cut(emnist_mat),
    r"test-00000-of-00002.parquet: a damaged": cut(parquet_of_pictures(True)),
    r"row 1 has 6x6 pixels and row 2 9x9; .* dataset=folder": two_shapes,
    r"some.npz holds a, b: none is called images": npz_of(a=np.zeros(3), b=np.zeros(3)),
    r"no labels; a column called label": npz_of(images=np.zeros((3, 4, 4))),
    r"3 images, but 2 labels": npz_of(x=np.zeros((3, 4, 4)), y=np.arange(2)),
    r"some.npz: x cannot be read .*allow_pickle": npz_of(x=np.array([None]), y=np.arange(1)),
    r"page.csv is an HTML page": content("page.csv", b"<!DOCTYPE html><html>Sign in</html>"),
    r"train.npz is a Git LFS pointer": content(
        "train.npz", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    ),
    r"train.csv: a header and no rows": edited(lambda lines: lines[:1]),
    r"train.csv: line 1 has 1 columns, line 2 37": edited(lambda lines: ["digits", *lines]),
    r"train.csv: row 16 has no label": edited(
        lambda lines: [
            lines[0],
            *(f"{'cat' * (i != 16)},{row.partition(',')[2]}" for i, row in enumerate(lines[1:], 1)),
        ]
    ),
    r"train.csv: its first line has more than 1,048,576 bytes": content("train.csv", b"1," * 10**6),
    r"some.npz: x cannot be read": npz_that_claims_a_terabyte,
    r"some.npz: x: an array of one number holds no images": npz_of(x=np.ones(()), y=np.arange(1)),
    r": it holds no images": npz_of(x=np.zeros((0, 4, 4)), y=np.arange(0)),
    r"holds labels only": npz_of(y=np.arange(4)),
    r"train.csv is text in UTF-16: save it": content("train.csv", "label,a".encode("utf-16")),
    r"train.csv is JSON": content("train.csv", b'{"label": 1}'),
    r"train.zip is a zip archive: unpack it": lambda folder, made: ZipFile(
        folder / "train.zip", "w"
    ).writestr("train.csv", "1,2"),
    r"train.mat is a MAT file of version 7.3": content("train.mat", b"MATLAB 7.3 MAT-file" * 9),
    r"no file that dataset=file reads .*there are no files": lambda folder, made: None,
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_named_with_its_file_and_place(made, tmp_path, message):
    MISTAKES[message](tmp_path, made)
    with pytest.raises(UserError, match=message):
        load(file(tmp_path))


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "train.parquet").write_bytes(b"PAR1" + struct.pack("<I", 0))
    with pytest.raises(UserError, match=r'pip install "mnist-exp\[parquet\]"'):
        load(file(tmp_path))
    with pytest.raises(UserError, match=r"dataset.shape=7: must be \[height,width\]"):
        file(tmp_path, shape=7)


def test_numbers_that_pandas_gives_to_columns_are_a_header(tmp_path):
    rng = np.random.default_rng(0)
    labels, images = np.arange(40) % 4, rng.integers(0, 256, (40, 4, 4))
    table = pandas.DataFrame(np.column_stack([labels, images.reshape(40, 16)]))
    table.to_csv(tmp_path / "train.csv", index=False)
    dataset = load(file(tmp_path / "train.csv"), test_size=4)
    assert len(dataset.train) == 32
    label_of = {
        image.astype(np.uint8).tobytes(): label for image, label in zip(images, labels, strict=True)
    }
    found = [label_of[image.tobytes()] for image in dataset.train.images]
    assert found == dataset.train.labels.tolist()
