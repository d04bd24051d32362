from __future__ import annotations

from pathlib import Path

from genfilt.extract.captions import caption_pictures
from genfilt.extract.titles import estimate_extraction, extract_attributes
from genfilt.generators.fitted import fitted_lexicon, fitted_neighbours
from genfilt.generators.llm.served import VllmReader
from genfilt.generators.vlm.instructblip import InstructBlipCaptioner
from genfilt.ingest.ingest import ingest
from genfilt.ingest.sources import Sources
from genfilt.store.store import Store
from tests.shop_files import write_csv, write_shop


def shop(folder: Path) -> Store:
    options = write_shop(folder)
    store = Store()
    ingest(store, Sources(products=options["products"], images=Path(options["images"])))
    return store


def test_equal_titles_are_read_once_and_never_again(tmp_path: Path) -> None:
    with shop(tmp_path) as store:
        lexicon = fitted_lexicon(store)
        first, second = extract_attributes(store, lexicon), extract_attributes(store, lexicon)
        assert (first.done, first.there) == (4, 0)  # p1 and p4 have one title
        assert (second.done, second.there) == (0, 4)
        assert store.scalar("SELECT count(*) FROM current_attributes") == 4


def test_a_fit_is_kept_until_it_is_asked_for_anew(tmp_path: Path) -> None:
    with shop(tmp_path) as store:
        first = fitted_lexicon(store), fitted_neighbours(store)
        extract_attributes(store, first[0])
        caption_pictures(store, first[1])
        more = [
            (f"n{n}", f"Dorado {word} {n}", "", "", "train")
            for n in range(9)
            for word in ("Mug", "Pan")
        ]
        rows = [(f"{i}-{title}", title, *rest) for i, title, *rest in more]
        header = "product_id,title,image,category,split"
        ingest(store, Sources(products=write_csv(tmp_path / "more.csv", header, rows)))
        assert fitted_lexicon(store).name == first[0].name
        again = fitted_lexicon(store, refit=True)
        assert again.name != first[0].name
        assert extract_attributes(store, again).done == 4 + len(rows)
        assert store.meta("llm") == again.name


def test_pictures_that_come_after_the_titles_are_learnt_from(tmp_path: Path) -> None:
    with Store(tmp_path / "shop.duckdb") as store:
        header = "product_id,title,image,category,split"
        rows = [("p1", "Red Mug", "", "", "train")]
        ingest(store, Sources(products=write_csv(tmp_path / "titles.csv", header, rows)))
        caption_pictures(store, fitted_neighbours(store))
        assert not store.scalar(
            "SELECT count(*) FROM generator_states WHERE starts_with(generator, 'neighbours-')"
        )
        store.connection.execute(  # as earlier versions stored it
            "INSERT INTO generator_states VALUES ('neighbours-0', ''::BLOB, 0, now())"
        )
        options = write_shop(tmp_path)
        ingest(store, Sources(products=options["products"], images=Path(options["images"])))
        later = fitted_neighbours(store)
        assert store.scalar(
            "SELECT count(*) FROM generator_states WHERE generator = ?", [later.name]
        )


def test_a_sample_tells_what_the_rest_will_take_and_is_kept(tmp_path: Path) -> None:
    with shop(tmp_path) as store:
        lexicon = fitted_lexicon(store)
        row = estimate_extraction(store, lexicon, (0.1, 0.4))
        assert (row["titles read"], row["titles left"], row["cost"]) == (4, 0, 0)
        assert extract_attributes(store, lexicon).done == 0


def test_every_picture_is_described_or_has_failed(tmp_path: Path) -> None:
    with shop(tmp_path) as store:
        (tmp_path / "images" / "p2.png").write_bytes(b"torn")
        ingest(store, Sources(images=tmp_path / "images"))
        counts = caption_pictures(store, fitted_neighbours(store))
        assert (counts.done, counts.failed) == (3, 1)  # p1 and p3 have one picture
        again = caption_pictures(store, fitted_neighbours(store))
        assert (again.done, again.failed) == (0, 0)  # what failed waits for --retry-failed
        retried = caption_pictures(store, fitted_neighbours(store), retry_failed=True)
        assert retried.failed == 1
        assert store.scalar("SELECT attempts FROM failures WHERE step = 'caption'") == 2


def test_a_model_is_loaded_only_where_there_is_something_to_ask(tmp_path: Path) -> None:
    with shop(tmp_path) as store, VllmReader(model="no/such") as reader:
        extract_attributes(store, fitted_lexicon(store))
        caption_pictures(store, fitted_neighbours(store))
        captioner = InstructBlipCaptioner("no/such")
        for table, made in (("attributes", reader), ("captions", captioner)):
            store.connection.execute(
                f"UPDATE {table} SET generator = ?, prompt_key = ?", [made.name, made.prompt_key]
            )
        assert extract_attributes(store, reader).there == 4
        assert caption_pictures(store, captioner).there > 0
        assert reader.server_pid is None
        assert store.meta("llm") == "vllm:no/such"
