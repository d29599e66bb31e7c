# The suite on CPUs: docker build --tag fedrepro . && docker run --rm fedrepro board --tasks digits-shards
# An index with CPU builds of torch makes the image about 5 GB smaller: --build-arg PIP_EXTRA_INDEX_URL=ADDRESS
FROM python:3.11-slim
ARG PIP_EXTRA_INDEX_URL=""
# the sandbox of `fedrepro check` and audits needs libseccomp; DVC needs git
RUN apt-get update && apt-get install --yes --no-install-recommends git libseccomp2 && rm -rf /var/lib/apt/lists/*
WORKDIR /fedrepro
COPY . .
RUN pip install --no-cache-dir --editable '.[suite]'
ENTRYPOINT ["fedrepro"]
CMD ["--help"]
