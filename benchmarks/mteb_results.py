"""The published results of MTEB that the choice of encoders rests on.

They are of few-shot classification, by logistic regression on frozen embeddings. Here is which
tasks they are, of which kind, and what is known of the encoders.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from meta.priors.encoders import FACT_COLUMNS, OTHER_KIND

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "results" / "mteb"
ENGLISH_SUBSETS = ("en", "eng", "english", "eng_Latn", "eng-Latn")
ENGLISH_TASKS = re.compile(
    r"Amazon(Counterfactual|Polarity|Reviews)C|Banking77C|EmotionC|ImdbC|Massive(Intent|Scenario)C|MTOP(Domain|Intent)C|ToxicConv"
    r"ersationsC|Tweet(SentimentExtraction|TopicSingle|Sarcasm_en)C|DBpedia|Poem|FinancialPhrasebank|ToxicChat|Wikipedia|SDS|Arxiv"
    r"C|PatentC|YelpReview|YahooAnswers|NewsC|FrenkEn|LegalBench"
)
"""Names of tasks in English whose subset is not named after a language."""
OTHER_MODALITIES = re.compile(
    r"Video|HMDB|UCF|Diving48|Breakfast|SomethingSomething|RAVDESS|AVEDataset|AVMeme|MusicAVQA|WorldSense|Food101|OxfordFlowers"
)
"""Names of tasks that are not about texts."""
NOT_ACCURACY = re.compile(
    r"Multi-?label|HateSpeechML|CEDR|BrazilianToxic|SensitiveTopics|Emit|HUME", re.IGNORECASE
)
"""Names of tasks with several labels a row (their accuracy is that of whole sets), or that are a
part of another task."""
SERIES = (
    "CUAD",
    "ContractNLI",
    "LearnedHands",
    "OPP115",
    "SCDB",
    "SCDD",
    "Diversity",
    "Textualism",
    "SDS",
    "SynPer",
    "Dutch",
)
"""Series of nearly identical tasks, by the first letters of their names. A series is averaged.
Otherwise a benchmark of forty clauses would count as forty tasks."""
FAMILIES = (
    "Amazon",
    "MTOP",
    "Massive",
    "Toxic",
    "Tweet",
    "Wikipedia",
    "Swe",
    "RuSciBench",
    "Nusa",
    "PerShop",
    "NLPTwitter",
    "Scand",
)
"""Families of tasks, by the first letters of their names."""
KINDS = {
    "language": r"Lang(uage)?Classification|Dialect|TurkicClassification",
    "toxicity": r"Toxic|Hate|Frenk|Inappropriat",
    "topic": (
        r"Wikipedia|N(ews|EWS)|SIB200|Arxiv|DBpedia|TweetTopic|Patent|Yahoo|TenKGnad|RuSciBench|Digikala|Iconclass|OpenTender"
        r"|Document|Mongabay|ParagraphTopic|Headline"
    ),
    "intent": r"Intent|Scenario|MTOP|Banking77|PerShop|VaccinChat|SIDClass",
    "sentiment": (
        r"Sentiment|Emotion|Polarity|Review|I(mdb|MDB)|Valence|Kinopoisk|NoRec|SweRec|AngryTweets|AfriSentiC|WRIME"
        r"|Feedback|Sardi|PoliticalComments|FinancialPhrase|ScandiSent|Georeview|CataloniaTweet"
    ),
}
"""Kinds of tasks, by their names; the first one that fits. A task that fits none is of no kind.
Scenarios and domains of utterances are intents here, emotions and stances are sentiment."""
LAYERS = {
    6: (
        "all-MiniLM-L6-v2 multi-qa-MiniLM-L6-cos-v1 paraphrase-MiniLM-L6-v2"
        " distiluse-base-multilingual-cased-v2"
    ),
    12: (
        "all-MiniLM-L12-v2 paraphrase-multilingual-MiniLM-L12-v2 all-mpnet-base-v2"
        " paraphrase-multilingual-mpnet-base-v2 LaBSE e5-small e5-small-v2 e5-base e5-base-v2"
        " multilingual-e5-small multilingual-e5-base bge-small-en-v1.5 bge-base-en-v1.5"
        " bge-small-en bge-base-en gte-small gte-base bert-base-uncased bert-base-cased"
        " nomic-embed-text-v1 nomic-embed-text-v1.5 sentence-t5-base gtr-t5-base instructor-base"
    ),
    22: "ModernBERT-base",
    24: (
        "e5-large e5-large-v2 multilingual-e5-large multilingual-e5-large-instruct"
        " bge-large-en-v1.5 bge-large-en bge-m3 gte-large sentence-t5-large sentence-t5-xl"
        " sentence-t5-xxl gtr-t5-large gtr-t5-xl gtr-t5-xxl mxbai-embed-large-v1 UAE-Large-V1"
    ),
    28: "Qwen3-Embedding-0.6B ModernBERT-large",
    32: "e5-mistral-7b-instruct SFR-Embedding-Mistral",
    36: "Qwen3-Embedding-4B Qwen3-Embedding-8B",
}
"""Number of layers -> encoders, by the last part of their names. It is from the encoders' own
configurations, since the published metadata lacks it."""


def read_cells(folder: Path) -> pd.DataFrame:
    """Mean accuracy of every encoder on every task: columns encoder, task, language, accuracy."""
    scores = pd.read_parquet(folder / "scores.parquet")
    kept = (
        scores["accuracy"].between(0, 1)
        & scores["task"].str.contains("Classification")
        & (scores["n_experiments"] >= 5)
    )
    kept &= ~scores["task"].str.contains(OTHER_MODALITIES) & ~scores["task"].str.contains(
        NOT_ACCURACY
    )
    cells = scores[kept].copy()
    default = ~cells["subset"].str.contains(r"^[a-z]{2,3}\b", regex=True) | (
        cells["subset"] == "default"
    )
    english = cells["subset"].isin(ENGLISH_SUBSETS) | (
        default & cells["task"].str.match(ENGLISH_TASKS)
    )
    english |= cells["task"].str.contains("LegalBench")
    cells["language"] = np.where(english, "english", "other")
    cells["task"] = cells["task"].str.replace(r"\.[vV]\d$", "", regex=True).map(_series)
    cells["encoder"] = cells["model"].str.replace("__", "/", n=1)
    return cells.groupby(["encoder", "task", "language"], as_index=False)["accuracy"].mean()


def read_encoders(folder: Path) -> pd.DataFrame:
    """Facts about the encoders: index encoder, columns `meta.priors.encoders.FACT_COLUMNS`, NaN
    where a fact is unknown."""
    models = pd.read_csv(folder / "models.csv").drop_duplicates("model")
    numbers = ["n_parameters", "embed_dim", "max_tokens"]
    models[numbers] = models[numbers].replace([np.inf, 0.0], np.nan)
    models["encoder"] = models["model"].str.replace("__", "/", n=1)
    models = models.rename(
        columns={"embed_dim": "embedding_width", "max_tokens": "max_length"}
    ).set_index("encoder")
    depth = {name: layers for layers, names in LAYERS.items() for name in names.split()}
    models["n_layers"] = [depth.get(name.rpartition("/")[2], np.nan) for name in models.index]
    models["open_weights"] = models["open_weights"].map(
        {True: 1.0, False: 0.0, "True": 1.0, "False": 0.0}
    )
    return models[list(FACT_COLUMNS)]


def _series(task: str) -> str:
    return next((f"{name} (mean)" for name in SERIES if task.startswith(name)), task)


def family_of(task: str) -> str:
    """The family of a task. Tasks of one source are held out together."""
    return next((name for name in FAMILIES if task.startswith(name)), task)


def kind_of(task: str) -> str:
    """The kind of a task, by its name."""
    return next((kind for kind, name in KINDS.items() if re.search(name, task)), OTHER_KIND)


def release_dates(folder: Path) -> pd.Series:
    """When each encoder was released (index: encoder); NaT where that is not known."""
    models = pd.read_csv(folder / "models.csv", usecols=["model", "release_date"])
    models["encoder"] = models["model"].str.replace("__", "/", n=1)
    dates = models.dropna().drop_duplicates("encoder").set_index("encoder")["release_date"]
    return pd.to_datetime(dates, format="ISO8601")
