"""Lists of videos as people write them: no word is lost or changed without a word."""

import csv
import io
import json
import unicodedata

import pytest

from videolavit.data.video_lists import NamedVideo, named_videos
from videolavit.errors import MediaError

CAPTION = 'A man says "hi", waves;\nand leaves – é 中 🎈\u2028done\x85'


def listed(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return named_videos(path)


def lines(*rows):
    return "\n".join(json.dumps(row) for row in rows)


# JSON lines


def test_all_lines_about_a_video_are_kept(tmp_path):
    rows = [
        {"path": "a.mp4", "caption": "first"},
        {"path": "b.mp4"},
        {"path": "./a.mp4", "captions": ["second", "first"]},
    ]
    rows += [{"path": "a.mp4", "question": "q", "answer": "a"}, {"path": "a.mp4", "questions": [["q2", "a2"]]}]
    [one, other] = listed(tmp_path, "clips.jsonl", lines(*rows))
    assert one == NamedVideo(
        path=tmp_path / "a.mp4", captions=("first", "second"), questions=(("q", "a"), ("q2", "a2"))
    )
    assert other.path == tmp_path / "b.mp4"


def test_caption_and_captions_together(tmp_path):
    [video] = listed(tmp_path, "a.jsonl", lines({"path": "a.mp4", "caption": "one", "captions": ["two"]}))
    assert video.captions == ("one", "two")


@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_character_in_any_encoding(tmp_path, ensure_ascii, encoding, end):
    row = json.dumps({"path": "a.mp4", "caption": CAPTION}, ensure_ascii=ensure_ascii)
    [video, _] = listed(tmp_path, "a.jsonl", (row + end + '{"path": "b.mp4"}' + end).encode(encoding))
    assert video.captions == (CAPTION.strip(),)


def test_a_list_in_one_json_file(tmp_path):
    rows = [{"path": "a.mp4", "caption": "x"}, {"path": "b.mp4"}]
    for name in ("a.json", "a.jsonl"):
        assert len(listed(tmp_path, name, json.dumps(rows, indent=2))) == 2


def test_conversations_of_llava(tmp_path):
    said = [("human", "<video>\nWhat moves?"), ("gpt", "A dog."), ("human", "Where to?"), ("gpt", "Left.")]
    talk = [{"from": side, "value": text} for side, text in said]
    expected = (("What moves?", "A dog."), ("Where to?", "Left."))
    [video] = listed(tmp_path, "a.jsonl", lines({"id": "7", "video": "a.mp4", "conversations": talk}))
    assert video.questions == expected
    chat = [{"role": {"human": "user", "gpt": "assistant"}[side], "content": text} for side, text in said]
    [video] = listed(tmp_path, "b.json", json.dumps([{"video": "a.mp4", "messages": chat}]))
    assert video.questions == expected


@pytest.mark.parametrize(
    ("talk", "message"),
    [
        ([{"from": "human", "value": "q"}], "the last question has no answer"),
        ([{"from": "gpt", "value": "a"}], "a turn of 'gpt' where one of the user was expected"),
        ([{"from": "system", "value": "s"}], "a turn of 'system'"),
        ([{"from": "human", "value": "q"}, {"from": "human", "value": "q"}], "take turns"),
        ([{"value": "q"}], "who speaks"),
        (["q", "a"], "a turn is a str"),
    ],
)
def test_conversations_that_lose_words_are_refused(tmp_path, talk, message):
    with pytest.raises(MediaError, match=rf"a\.jsonl, line 1: .*{message}"):
        listed(tmp_path, "a.jsonl", lines({"video": "a.mp4", "conversations": talk}))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"path": "a.mp4", "caption": "x", "caption": "y"}', "the key 'caption' stands twice"),
        ('{"path": "a.mp4", "caption": "\\ud83d"}', "half a surrogate pair"),
        ('{"path": "a.mp4", "caption": 3}', "must be texts, got int"),
        ('{"path": "a.mp4", "question": "why?"}', "only together"),
        ('{"path": "a.mp4", "questions": [["q"]]}', "not enough values"),
        ('{"image": "a.png", "caption": "x"}', "no path, but an image"),
        ('{"path": "https://a.b/c.mp4"}', r"https://a\.b/c\.mp4: is a URL"),
        ('{"path": ""}', "no path"),
        ('{"path": "a.mp4"} {"path": "b.mp4"}', "is not JSON: Extra data"),
        ('{"path": "a.mp4",', "is not JSON"),
        ("path,caption", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(tmp_path, line, message):
    with pytest.raises(MediaError, match=rf"a\.jsonl, line 2: .*{message}"):
        listed(tmp_path, "a.jsonl", '{"path": "ok.mp4"}\n' + line)


def test_other_encodings_are_named_with_their_line(tmp_path):
    for name, content in (("a.csv", "path,caption\na.mp4,x\nb.mp4,café\n"), ("a.jsonl", '\n\n{"path": "é.mp4"}')):
        with pytest.raises(MediaError, match=rf"{name}, line 3: is not UTF-8 \(byte 0xe9\); save the file as UTF-8"):
            listed(tmp_path, name, content.encode("cp1252"))
    with pytest.raises(MediaError, match=r"a\.csv, line 2: has a null character"):
        listed(tmp_path, "a.csv", b"path\na\0.mp4\n")


# CSV


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_spreadsheets_write(tmp_path, encoding, delimiter, end):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
    writer.writerows([["Path ", "caption"], ["a.mp4", CAPTION], ["b.mp4", "y"], ["a.mp4", "z"]])
    [one, other] = listed(tmp_path, "a.csv", file.getvalue().encode(encoding))
    assert one.captions == (CAPTION.strip(), "z")
    assert other.captions == ("y",)


def test_tab_separated_values(tmp_path):
    [video] = listed(tmp_path, "a.TSV", "path\tcaption\na.mp4\tone, two\n")
    assert video.captions == ("one, two",)


def test_two_columns_of_one_name_are_both_kept(tmp_path):
    [video] = listed(tmp_path, "a.csv", "path,caption,caption,question,answer,question,answer\na.mp4,x,y,q,a,r,b\n")
    assert video.captions == ("x", "y")
    assert video.questions == (("q", "a"), ("r", "b"))


def test_a_long_caption(tmp_path):
    [video] = listed(tmp_path, "a.csv", f"path,caption\na.mp4,{200_000 * 'x'}\n")
    assert len(video.captions[0]) == 200_000


def test_empty_rows_and_spaces_are_nothing(tmp_path):
    [video] = listed(tmp_path, "a.csv", "path,caption\n\n , \n a.mp4 , x \n,\n")
    assert video == NamedVideo(path=tmp_path / "a.mp4", captions=("x",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,caption\na.mp4,A dog, running\n", "line 2: has 3 fields, the header has 2; put texts"),
        ('path,caption\na.mp4,x\nb.mp4,"no end\n', "line 3: unexpected end of data"),
        ('path,caption\na.mp4,"x" y\n', "line 2: .*between quotes"),
        ("path,caption,question,answer\na.mp4,x,why?,\n", "line 2: needs a path, and question and answer"),
        ('path,caption\na.mp4,"x\ny"\n,z\n', "line 4: needs a path"),
        ("path,capton\na.mp4,x\n", r"has the columns \['path', 'capton'\]"),
        ("a.mp4,x\n", "has the columns"),
        ("path,path\na.mp4,b.mp4\n", "has the columns"),
        ("", "has the columns"),
    ],
)
def test_rows_that_would_lose_words_are_refused(tmp_path, text, message):
    with pytest.raises(MediaError, match=message):
        listed(tmp_path, "a.csv", text)


# Paths


def test_paths_are_found_though_case_accents_or_slashes_differ(tmp_path):
    decomposed = unicodedata.normalize("NFD", "café.mp4")
    (tmp_path / "Clips").mkdir()
    (tmp_path / "Clips" / decomposed).touch()
    (tmp_path / "B.MP4").touch()
    rows = ["clips/café.mp4", "clips\\CAFÉ.mp4", "b.mp4"]
    videos = listed(tmp_path, "a.csv", "path\n" + "\n".join(rows))
    assert [video.path for video in videos] == [tmp_path / "Clips" / decomposed, tmp_path / "B.MP4"]


def test_a_name_with_two_that_are_alike_is_refused(tmp_path):
    for name in ("A.mp4", "a.MP4"):
        (tmp_path / name).touch()
    with pytest.raises(MediaError, match=r"line 2: a\.mp4: no such file, and several are alike"):
        listed(tmp_path, "list.csv", "path\na.mp4\n")
    [video] = listed(tmp_path, "list.csv", "path\nA.mp4\n")
    assert video.path == tmp_path / "A.mp4"


def test_absolute_paths_and_file_urls(tmp_path):
    (tmp_path / "a b.mp4").touch()
    for name in (str(tmp_path / "a b.mp4"), (tmp_path / "a b.mp4").as_uri()):
        [video] = listed(tmp_path, "a.jsonl", lines({"path": name}))
        assert video.path == tmp_path / "a b.mp4"


# Folders


def test_a_folder_of_any_extensions_and_its_captions(tmp_path, caplog):
    for name in ("a.mp4", "B.MOV", "c.TS", "deep/d.flv", "deep/e.3gp", "f.mts"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "A.TXT").write_text("one\r\n\r\ntwo\u2028still two\n")
    (tmp_path / "b.Txt").write_bytes("drei – vier".encode("utf-16"))
    (tmp_path / "c.ts.txt").write_text("\ufefffive")
    for name in ("._a.mp4", ".hidden.mp4", ".DS_Store", ".git/x.mp4", "__MACOSX/y.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("README.txt", "song.mp3", "cover.jpg"):
        (tmp_path / name).touch()
    found = {video.path.name: video.captions for video in named_videos(tmp_path)}
    assert found == {
        "a.mp4": ("one", "two\u2028still two"),
        "B.MOV": ("drei – vier",),
        "c.TS": ("five",),
        "d.flv": (),
        "e.3gp": (),
        "f.mts": (),
    }
    assert "left out, neither videos nor captions of one: README.txt, cover.jpg, song.mp3" in caplog.text


def test_captions_belong_to_names_however_accents_are_composed(tmp_path):
    (tmp_path / unicodedata.normalize("NFD", "café.mp4")).touch()
    (tmp_path / unicodedata.normalize("NFC", "café.txt")).write_text("a cup")
    assert named_videos(tmp_path)[0].captions == ("a cup",)


def test_captions_in_another_encoding_are_named(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.txt").write_bytes("ok\ncafé".encode("latin-1"))
    with pytest.raises(MediaError, match=r"a\.txt, line 2: is not UTF-8"):
        named_videos(tmp_path)


def test_what_is_no_list(tmp_path):
    for name, message in (("https://a.b/c.csv", r"https://a\.b/c\.csv: is a URL"), ("nowhere.csv", "no such file")):
        with pytest.raises(MediaError, match=message):
            named_videos(name)
    with pytest.raises(MediaError, match="is neither a folder nor"):
        listed(tmp_path, "a.parquet", "PAR1")
    with pytest.raises(MediaError, match="names no video"):
        listed(tmp_path, "a.jsonl", "\n\n")


def test_one_file_by_several_names_is_one_video(tmp_path):
    (tmp_path / "vids").mkdir()
    (tmp_path / "vids" / "a.mp4").write_bytes(b"")
    (tmp_path / "list.csv").write_text("path,caption\nvids/a.mp4,one\nvids/../vids/a.mp4,two\n./vids/a.mp4,three\n")
    [video] = named_videos(tmp_path / "list.csv")
    assert video.captions == ("one", "two", "three")


@pytest.mark.parametrize("wrong", [{"q1": "a"}, "ab", ["ab"], [["only a question"]], [1]])
def test_questions_that_are_no_pairs_are_told(tmp_path, wrong):
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "list.jsonl").write_text(json.dumps({"path": "a.mp4", "questions": wrong}))
    with pytest.raises(MediaError, match=r"list\.jsonl"):
        named_videos(tmp_path / "list.jsonl")
