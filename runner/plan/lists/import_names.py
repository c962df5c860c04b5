"""Which distribution an import is of, where the names differ, and which names are known to be one. Data alone.

Kept by hand: mapping packages on the index are either built by machine from whatever claims a name, so that many
imports lead to unrelated projects, or hold an index of their own of many megabytes. What is missing here is taken for a
distribution of the import's own name, and the plan says so.
"""

from __future__ import annotations

DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "absl": ("absl-py",),
    "airflow": ("apache-airflow",),
    "attr": ("attrs",),
    "ax": ("ax-platform",),
    "azure.ai.ml": ("azure-ai-ml",),
    "azure.identity": ("azure-identity",),
    "azure.storage.blob": ("azure-storage-blob",),
    "azureml": ("azureml-core",),
    "bayes_opt": ("bayesian-optimization",),
    "Bio": ("biopython",),
    "box": ("python-box",),
    "bs4": ("beautifulsoup4",),
    "bson": ("pymongo",),
    "cattr": ("cattrs",),
    "community": ("python-louvain",),
    "Crypto": ("pycryptodome",),
    "Cryptodome": ("pycryptodomex",),
    "cv2": ("opencv-python-headless",),  # no display in a container, and the same library
    "dask.array": ("dask[array]",),
    "dask.bag": ("dask[array]",),
    "dask.dataframe": ("dask[dataframe]",),
    "dask.distributed": ("dask[distributed]",),
    "databricks.sdk": ("databricks-sdk",),
    "dateutil": ("python-dateutil",),
    "decouple": ("python-decouple",),
    "discord": ("discord-py",),
    "distutils": ("setuptools",),  # where the standard library has it no longer
    "dns": ("dnspython",),
    "docx": ("python-docx",),
    "dotenv": ("python-dotenv",),
    "elftools": ("pyelftools",),
    "environ": ("django-environ",),
    "faiss": ("faiss-cpu",),
    "fitz": ("pymupdf",),
    "fpdf": ("fpdf2",),
    "frontmatter": ("python-frontmatter",),
    "git": ("gitpython",),
    "github": ("pygithub",),
    "gitlab": ("python-gitlab",),
    "google.api_core": ("google-api-core",),
    "google.auth": ("google-auth",),
    "google.cloud.aiplatform": ("google-cloud-aiplatform",),
    "google.cloud.bigquery": ("google-cloud-bigquery",),
    "google.cloud.logging": ("google-cloud-logging",),
    "google.cloud.pubsub": ("google-cloud-pubsub",),
    "google.cloud.secretmanager": ("google-cloud-secret-manager",),
    "google.cloud.storage": ("google-cloud-storage",),
    "google.generativeai": ("google-generativeai",),
    "google.oauth2": ("google-auth",),
    "google.protobuf": ("protobuf",),
    "googleapiclient": ("google-api-python-client",),
    "grpc": ("grpcio",),
    "haiku": ("dm-haiku",),
    "hydra": ("hydra-core",),
    "imblearn": ("imbalanced-learn",),
    "jax": ("jax", "jaxlib"),
    "jose": ("python-jose",),
    "jwt": ("pyjwt",),
    "kafka": ("kafka-python",),
    "keras": ("keras", "tensorflow"),
    "Levenshtein": ("python-levenshtein",),
    "magic": ("python-magic",),
    "mlflow.catboost": ("mlflow", "catboost"),
    "mlflow.fastai": ("mlflow", "fastai"),
    "mlflow.h2o": ("mlflow", "h2o"),
    "mlflow.keras": ("mlflow", "keras", "tensorflow"),
    "mlflow.langchain": ("mlflow", "langchain"),
    "mlflow.lightgbm": ("mlflow", "lightgbm"),
    "mlflow.onnx": ("mlflow", "onnx", "onnxruntime"),
    "mlflow.paddle": ("mlflow", "paddlepaddle"),
    "mlflow.pmdarima": ("mlflow", "pmdarima"),
    "mlflow.prophet": ("mlflow", "prophet"),
    "mlflow.pytorch": ("mlflow", "torch"),
    "mlflow.sentence_transformers": ("mlflow", "sentence-transformers"),
    "mlflow.shap": ("mlflow", "shap"),
    "mlflow.sklearn": ("mlflow", "scikit-learn"),
    "mlflow.spacy": ("mlflow", "spacy"),
    "mlflow.spark": ("mlflow", "pyspark"),
    "mlflow.statsmodels": ("mlflow", "statsmodels"),
    "mlflow.tensorflow": ("mlflow", "tensorflow"),
    "mlflow.transformers": ("mlflow", "transformers"),
    "mlflow.xgboost": ("mlflow", "xgboost"),
    "mpl_toolkits": ("matplotlib",),
    "MySQLdb": ("mysqlclient",),
    "nacl": ("pynacl",),
    "OpenSSL": ("pyopenssl",),
    "past": ("future",),
    "paho": ("paho-mqtt",),
    "PIL": ("pillow",),
    "pkg_resources": ("setuptools",),
    "pl_bolts": ("lightning-bolts",),
    "pptx": ("python-pptx",),
    "progressbar": ("progressbar2",),
    "psycopg2": ("psycopg2-binary",),
    "pylab": ("matplotlib",),
    "pynvml": ("nvidia-ml-py",),
    "pyro": ("pyro-ppl",),
    "pythonjsonlogger": ("python-json-logger",),
    "pywt": ("pywavelets",),
    "ray.rllib": ("ray[rllib]",),
    "ray.serve": ("ray[serve]",),
    "ray.train": ("ray[train]",),
    "ray.tune": ("ray[tune]",),
    "ruamel": ("ruamel-yaml",),
    "serial": ("pyserial",),
    "skbio": ("scikit-bio",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
    "skopt": ("scikit-optimize",),
    "sksurv": ("scikit-survival",),
    "slugify": ("python-slugify",),
    "snappy": ("python-snappy",),
    "snowflake.connector": ("snowflake-connector-python",),
    "snowflake.snowpark": ("snowflake-snowpark-python",),
    "socketio": ("python-socketio",),
    "sonnet": ("dm-sonnet",),
    "stan": ("pystan",),
    "talib": ("ta-lib",),
    "telegram": ("python-telegram-bot",),
    "torch.utils.tensorboard": ("torch", "tensorboard"),
    "tree": ("dm-tree",),
    "umap": ("umap-learn",),
    "usb": ("pyusb",),
    "websocket": ("websocket-client",),
    "yaml": ("pyyaml",),
    "zmq": ("pyzmq",),
}
"""By the import, or by the longest beginning of it. What is named otherwise than its distribution, or needs more."""

_NAMESAKES = """
    accelerate aif360 aiohttp albumentations alibi altair anndata arviz astropy attrs autogluon azureml_mlflow
    bitsandbytes bokeh boto3 botocore captum cartopy catboost category_encoders cffi chardet clearml click
    cloudpickle cmdstanpy codecarbon colorama colorlog comet_ml cryptography cupy cvxopt cvxpy cycler cython
    dagshub darts dash dask dask_ml datasets deap deepchecks deepspeed dgl dice_ml dill distributed docker docopt
    duckdb dvc dvclive efficientnet_pytorch einops elasticsearch eli5 emoji ensure evaluate evidently fairlearn
    fastai fastapi fastparquet fbprophet feast feature_engine featuretools filelock findspark fiona fire flaml
    flask flax folium fsspec ftfy future fuzzywuzzy gdown gensim geopandas gpy gpytorch gradio great_expectations
    gym gymnasium h2o h5py hdbscan httpx huggingface_hub hyperopt igraph imageio imgaug implicit imutils interpret
    ipython ipywidgets jaxlib jinja2 joblib jsonlines jsonschema jupyter kaggle kedro keras_tuner kneed kornia
    langchain lazy_loader librosa lifelines lifetimes lightfm lightgbm lightning lightning_fabric lime llvmlite
    loguru lxml markdown marshmallow matplotlib mercantile metaflow minio missingno mlflow mlxtend mne mock modin
    monai more_itertools msgpack multiprocess munch narwhals neptune netcdf4 networkx nevergrad ngboost nibabel
    nilearn nltk numba numexpr numpy numpyro omegaconf onnx onnxmltools onnxruntime openai openml openpyxl optax
    optbinning optuna orjson packaging pandas pandas_datareader pandas_profiling pandera papermill parquet pathos
    patsy peft pendulum phik pillow_heif pingouin pint plotly plotnine pmdarima polars prefect prettytable
    prometheus_client prophet protobuf psutil psycopg py7zr pyarrow pycaret pycocotools pydantic pydantic_settings
    pydicom pydot pydub pygments pymc pymc3 pymongo pymysql pyod pyparsing pyproj pyreadr pyspark pystan
    pytesseract pytest pytorch_forecasting pytorch_lightning pytorch_metric_learning pytorch_tabnet pytz rasterio
    ray rdkit redis regex requests responses rich river s3fs sacrebleu sacred safetensors scanpy schedule
    scikit_posthocs scikitplot scipy seaborn segmentation_models_pytorch sentence_transformers sentencepiece
    setuptools shap shapely simpleitk simplejson six skl2onnx sklearn_pandas skops sktime smart_open snorkel
    soundfile spacy sqlalchemy stable_baselines3 statsforecast statsmodels streamlit supervision sweetviz sympy
    tables tabpfn tabulate tenacity tensorboard tensorboardx tensorflow tensorflow_addons tensorflow_datasets
    tensorflow_hub tensorflow_probability tensorflow_text termcolor textblob thinc threadpoolctl tiktoken timm
    tokenizers toml tomli toolz torch torch_geometric torchaudio torchdata torchmetrics torchsummary torchtext
    torchvision tornado tpot tqdm transformers trl tsfresh typer typing_extensions tzlocal ucimlrepo ujson
    ultralytics unidecode urllib3 uvicorn vadersentiment wandb werkzeug wget wordcloud xarray xgboost xlrd
    xlsxwriter ydata_profiling yfinance zarr zenml
"""
NAMESAKES = frozenset(_NAMESAKES.split())
"""Imports, in small letters, whose distribution is known to have the same name."""

NAMESPACES = frozenset({"azure", "backports", "databricks", "google", "nvidia", "opentelemetry", "snowflake", "zope"})
"""What many distributions share: a name beneath it that is not known here leads to none."""

SAME_MODULES = (
    frozenset({"faiss-cpu", "faiss-gpu"}),
    frozenset({"mlflow", "mlflow-skinny", "mlflow-tracing"}),
    frozenset({"opencv-contrib-python", "opencv-contrib-python-headless", "opencv-python", "opencv-python-headless"}),
    frozenset({"psycopg2", "psycopg2-binary"}),
    frozenset({"tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-intel", "tensorflow-macos"}),
    frozenset({"torch", "torch-cpu"}),
)
"""Distributions of which any brings the same modules."""

NOT_ON_AN_INDEX = {
    "apex": "NVIDIA's apex is built from its repository, and the index has another project of the name",
    "clip": "OpenAI's CLIP is installed from its repository, and the index has another project of the name",
    "cudf": "RAPIDS is on another index",
    "cuml": "RAPIDS is on another index",
    "dbutils": "it is of Databricks",
    "detectron2": "it is installed from its repository",
    "google.colab": "it is of Google Colab",
    "kaggle_secrets": "it is of Kaggle's notebooks",
    "pyspark.dbutils": "it is of Databricks",
}
"""What no index of Python packages has under the name, and why."""
