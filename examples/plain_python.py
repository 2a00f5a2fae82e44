"""Without ROS: a sound file in; what was said in it, and how that person felt.

python examples/plain_python.py talk.wav
"""

import sys

import mser_ros as mser

if len(sys.argv) != 2:
    sys.exit(__doc__)
try:
    talk = mser.read_sound_file(sys.argv[1])
    pipeline = mser.EmotionPipeline.create(mser.EmotionRecognizer(mser.load_bundle()))
    estimates = [*pipeline.push_audio(talk), *pipeline.flush()]
except mser.MserError as error:
    sys.exit(str(error))  # one sentence that names the cure
for estimate in estimates:
    if estimate.state.name == "FINAL":
        begin_s = (estimate.speech_start_ns - talk.stamp_ns) / 1e9
        print(f"{begin_s:6.1f} s  {estimate.label} ({estimate.confidence:.0%})  '{estimate.transcript}'")
        for item in estimate.evidence:
            print(f"          {item.modality} counted {item.weight:.0%}")
