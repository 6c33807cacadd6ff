@echo off
rem Starts DeepDeck on Windows; the same commands as ./deepdeck. The first time it sets up a
rem virtual environment in .venv. (Written with care, not yet run on a Windows machine.)
setlocal enableextensions
set "root=%~dp0"
set "python=%root%.venv\Scripts\python.exe"

if /i "%~1"=="test" goto setup
if /i "%~1"=="setup" goto setup
if not exist "%python%" goto setup
if not exist "%root%.venv\deepdeck-setup\runtime.toml" goto setup
fc /b "%root%pyproject.toml" "%root%.venv\deepdeck-setup\runtime.toml" >nul 2>&1 || goto setup

set "PYTHONPATH=%root%"
set "PYTHONUTF8=1"
"%python%" -P -m app %*
exit /b %errorlevel%

:setup
for %%v in (3.13 3.12 3.11) do (
    py -%%v -c "" >nul 2>&1 && (
        py -%%v "%root%packaging\bootstrap.py" %*
        goto :end
    )
)
python -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))" >nul 2>&1 && (
    python "%root%packaging\bootstrap.py" %*
    goto :end
)
echo DeepDeck needs Python 3.11, 3.12 or 3.13, and none was found. 1>&2
echo Install one from python.org or the Microsoft Store, then start again. 1>&2
exit /b 1

:end
exit /b %errorlevel%
